//! The methods that PEFT does not have, against their formulas in PyTorch: outputs, gradients, AdamW steps, merged weights, folders.

#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use peft_core::file::read_folder;
use peft_core::testing::case::Case;
use peft_core::{MethodEntry, folder};
use peft_lowrank::multilora::MULTI_LORA;
use peft_lowrank::reslora::RES_LORA;
use peft_lowrank::sbora::SBORA;
use peft_lowrank::sharelora::SHARE_LORA;

const ENTRIES: [&MethodEntry; 4] = [&MULTI_LORA, &RES_LORA, &SBORA, &SHARE_LORA];
const CASES: [(&str, &str); 5] = [
    ("sharelora", "sharelora"),
    ("reslora", "reslora"),
    ("sbora", "sbora"),
    ("sbora", "sbora-output"),
    ("multilora", "multilora"),
];

fn case(method: &str, name: &str) -> Case {
    let root = [env!("CARGO_MANIFEST_DIR"), "tests", "golden", method];
    Case::read(&root.iter().collect::<PathBuf>(), name)
}

#[test]
fn each_equals_its_formula() {
    for (method, name) in CASES {
        case(method, name).check(&ENTRIES);
    }
}

#[test]
fn a_folder_is_written_again_as_it_was() {
    for (method, name) in CASES {
        let case = case(method, name);
        let (base, names) = case.base(&Device::default());
        let loaded = folder::load(base, &names, "read", &ENTRIES, &case.folder).unwrap();
        let out = tempfile::tempdir().unwrap();
        folder::save(&loaded.model, &names, "read", &loaded.spec, out.path()).unwrap();
        let tensors = |dir: &Path| read_folder(dir).unwrap().tensors;
        assert!(tensors(out.path()) == tensors(&case.folder), "{name}");
    }
}
