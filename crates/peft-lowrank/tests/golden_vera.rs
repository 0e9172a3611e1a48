//! VeRA against Hugging Face PEFT: its matrices, folders, forward, gradients, AdamW steps and merged weights.

#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use peft_core::MethodEntry;
use peft_core::file::{PeftConfig, TENSOR_FILE, read_config};
use peft_core::folder;
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
        let case = case(name);
        let (base, names) = case.base(&Device::default());
        let loaded = folder::load(base, &names, "read", &ENTRIES, &case.folder).unwrap();
        let out = tempfile::tempdir().unwrap();
        folder::save(&loaded.model, &names, "read", &loaded.spec, out.path()).unwrap();
        let bytes = |dir: &Path| std::fs::read(dir.join(TENSOR_FILE)).unwrap();
        assert!(bytes(out.path()) == bytes(&case.folder), "{name}");
        let typed = |dir: &Path| PeftConfig {
            raw: serde_json::Map::new(),
            ..read_config(dir).unwrap()
        };
        assert_eq!(typed(out.path()), typed(&case.folder), "{name}");
        // PEFT's configuration of VeRA has none of LoRA's fields.
        let ours = read_config(out.path()).unwrap().raw;
        let theirs = read_config(&case.folder).unwrap().raw;
        let unknown: Vec<&String> = ours
            .keys()
            .filter(|key| !theirs.contains_key(*key))
            .collect();
        assert_eq!(unknown, Vec::<&String>::new(), "{name}");
    }
}
