//! VeRA against Hugging Face PEFT: its matrices, folders, forward, gradients, AdamW steps and merged weights.

use std::path::PathBuf;

use peft_core::MethodEntry;
use peft_core::testing::case::Case;
use peft_lowrank::vera::VERA;

const ENTRIES: [&MethodEntry; 1] = [&VERA];
/// One layer, layers of several sizes, and those without the matrices in the folder.
const CASES: [&str; 3] = ["vera", "vera-sizes", "vera-drawn"];

fn case(name: &str) -> Case {
    let root: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests", "golden", "vera"]
        .iter()
        .collect();
    Case::read(&root, name)
}

#[test]
fn vera_equals_peft() {
    for name in CASES {
        case(name).check(&ENTRIES);
    }
}

#[test]
fn a_folder_of_peft_is_written_again_byte_for_byte_with_an_equal_config() {
    for name in CASES {
        case(name).check_folder(&ENTRIES);
    }
}
