//! Mixtures of experts against a dense float64 reference with autograd: forward, gradients of experts and router, AdamW steps.

use std::path::Path;

use peft_core::testing::case::Case;
use peft_moe::mixture::MOE_LORA;

#[test]
fn every_gate_mode_equals_the_dense_formula() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/moe-lora");
    for name in ["true", "sqrt-detach", "theory", "all-chosen"] {
        Case::read(&root, name).check(&[&MOE_LORA]);
    }
}
