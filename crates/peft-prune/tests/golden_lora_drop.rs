//! LoRA-drop against a dense float64 reference whose layers share tensors: forward, summed gradients, AdamW steps, effective weights.

use std::path::Path;

use peft_core::testing::case::Case;
use peft_prune::lora_drop::LORA_DROP;

#[test]
fn lora_drop_equals_the_dense_formula_with_shared_tensors() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/lora-drop");
    for name in ["shared", "shared-rslora", "own"] {
        Case::read(&root, name).check(&[&LORA_DROP]);
    }
}
