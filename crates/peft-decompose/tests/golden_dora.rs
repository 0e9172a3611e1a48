//! DoRA against Hugging Face PEFT: its folders, forward, gradients, AdamW steps and merged weights.

#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod support;

use peft_core::MethodEntry;
use peft_core::file::{CONFIG_FILE, PeftConfig, TENSOR_FILE, read_config};
use peft_core::{folder, lora};
use peft_decompose::dora::DORA;

use peft_core::testing::case::Case;
use support::case;

const ENTRIES: [&MethodEntry; 3] = [&lora::LORA, &lora::RSLORA, &DORA];
const CASES: [&str; 4] = ["dora", "dora-no-bias", "dora-rslora", "dora-patterns"];

#[test]
fn dora_equals_peft() {
    for name in CASES {
        case("dora", name).check(&ENTRIES);
    }
}

#[test]
fn a_folder_of_peft_is_written_again_byte_for_byte_with_an_equal_config() {
    for name in CASES {
        let case = case("dora", name);
        let device = burn::tensor::Device::default();
        let (base, names) = case.base(&device);
        let loaded = folder::load(base, &names, "read", &ENTRIES, &case.folder).unwrap();
        let out = tempfile::tempdir().unwrap();
        folder::save(&loaded.model, &names, "read", &loaded.spec, out.path()).unwrap();
        let bytes = |dir: &std::path::Path| std::fs::read(dir.join(TENSOR_FILE)).unwrap();
        assert!(bytes(out.path()) == bytes(&case.folder), "{name}");
        let typed = |dir: &std::path::Path| PeftConfig {
            raw: serde_json::Map::new(),
            ..read_config(dir).unwrap()
        };
        assert_eq!(typed(out.path()), typed(&case.folder), "{name}");
        assert!(out.path().join(CONFIG_FILE).exists());
    }
}

#[test]
fn the_magnitude_is_read_with_and_without_the_suffix_of_a_weight() {
    let case = case("dora", "dora");
    let device = burn::tensor::Device::default();
    let expected = adapter(&case.folder, &case, &device);
    let tensors = peft_core::file::read_folder(&case.folder).unwrap().tensors;
    for suffix in [".weight", ".default"] {
        let dir = tempfile::tempdir().unwrap();
        std::fs::copy(case.folder.join(CONFIG_FILE), dir.path().join(CONFIG_FILE)).unwrap();
        let renamed = tensors.iter().map(|(name, tensor)| {
            let name = match name.strip_suffix("lora_magnitude_vector") {
                Some(_) => format!("{name}{suffix}"),
                None => name.clone(),
            };
            (name, tensor.clone())
        });
        let renamed = renamed.collect();
        peft_core::file::write_tensors(&dir.path().join(TENSOR_FILE), &renamed).unwrap();
        assert_eq!(adapter(dir.path(), &case, &device), expected, "{suffix}");
    }
}

fn adapter(
    dir: &std::path::Path,
    case: &Case,
    device: &burn::tensor::Device,
) -> std::collections::BTreeMap<String, Vec<f32>> {
    let (base, names) = case.base(device);
    let loaded = folder::load(base, &names, "read", &ENTRIES, dir).unwrap();
    peft_core::testing::contract::adapter_tensors(&loaded.model, "read")
        .into_iter()
        .map(|(name, tensor)| (name, tensor.data))
        .collect()
}
