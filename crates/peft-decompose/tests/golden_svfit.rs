//! SVFit against a dense float64 reference with autograd: which values train, forward, gradients, AdamW steps, weights.

mod support;

use peft_decompose::svfit::SVFIT;
use support::case;

#[test]
fn svfit_equals_the_dense_formula() {
    for name in ["svfit", "svfit-rank", "svfit-vectors"] {
        case("svfit", name).check(&[&SVFIT]);
    }
}

#[test]
fn svfit_chooses_as_many_values_as_the_share_of_energy_needs() {
    for name in ["svfit-energy", "svfit-energy-plain"] {
        case("svfit", name).check(&[&SVFIT]);
    }
}
