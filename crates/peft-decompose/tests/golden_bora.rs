//! BoRA against a dense float64 reference with autograd: forward, gradients, AdamW steps and effective weights.

mod support;

use peft_decompose::bora::BORA;
use support::case;

#[test]
fn bora_equals_the_dense_formula_with_both_norms_detached() {
    for name in ["bora", "bora-two-layers", "bora-columns-first-both"] {
        case("bora", name).check(&[&BORA]);
    }
}

#[test]
fn bora_equals_the_dense_formula_with_gradients_through_both_norms() {
    for name in ["bora-none", "bora-columns-first"] {
        case("bora", name).check(&[&BORA]);
    }
}
