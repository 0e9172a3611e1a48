//! EigenLoRAx against a dense float64 reference: forward, gradients, AdamW steps, effective weights.

use std::path::Path;

use peft_core::testing::case::Case;
use peft_recycle::eigenlorax::EIGENLORAX;

#[test]
fn eigenlorax_equals_the_dense_formula() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/eigenlorax");
    for name in ["single", "layers", "flat-single", "flat-layers"] {
        Case::read(&root, name).check(&[&EIGENLORAX]);
    }
}
