//! Adapter folders that claim more than they hold, and checkpoints of other libraries, against a real model.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use burn::tensor::Device;
use peft_core::file::{
    AdapterFolder, CONFIG_FILE, FileError, TENSOR_FILE, encode_tensors, read_folder, write_folder,
};
use peft_core::lora::{LORA, RSLORA};
use peft_core::target::TargetRules;
use peft_core::testing::tiny::Tiny;
use peft_core::{AdapterSpec, PeftError, attach, folder};
use serde_json::json;

/// A folder with an adapter of rank 4 of the tiny model.
fn saved(dir: &Path) -> AdapterFolder {
    let (model, names) = Tiny::new(&Device::flex());
    let spec = AdapterSpec {
        rank: 4,
        targets: TargetRules::list(["up_proj", "down_proj"]),
        ..AdapterSpec::default()
    };
    let (model, _) = attach(model, &names, "default", &spec, 0).unwrap();
    folder::save(&model, &names, "default", &spec, dir).unwrap();
    read_folder(dir).unwrap()
}

fn load(dir: &Path) -> Result<(), PeftError> {
    let (model, names) = Tiny::new(&Device::flex());
    folder::load(model, &names, "default", &[&LORA, &RSLORA], dir).map(drop)
}

#[test]
fn a_rank_that_the_file_cannot_have_is_refused_before_anything_is_allocated() {
    let dir = tempfile::tempdir().unwrap();
    let mut folder = saved(dir.path());
    load(dir.path()).unwrap();
    for (field, value) in [
        ("r", json!(65_000)),
        ("rank_pattern", json!({"up_proj": 65_000})),
    ] {
        let mut raw = folder.config.raw.clone();
        raw.insert(field.into(), value);
        write_folder(dir.path(), &raw, &folder.tensors).unwrap();
        let error = load(dir.path()).unwrap_err();
        assert!(matches!(error, PeftError::Mismatch { .. }), "{error}");
    }
    folder.config.raw.insert("r".into(), json!(1_u64 << 60));
    write_folder(dir.path(), &folder.config.raw, &folder.tensors).unwrap();
    let error = load(dir.path()).unwrap_err();
    assert!(error.to_string().contains("`r` must be"), "{error}");
}

#[test]
fn keys_of_loralib_load_beside_a_hand_written_config_of_four_keys() {
    let dir = tempfile::tempdir().unwrap();
    let folder = saved(dir.path());
    let tensors = folder.tensors.iter().map(|(key, tensor)| {
        let key = key.strip_prefix("base_model.model.").unwrap();
        (
            key.strip_suffix(".weight").unwrap().to_owned(),
            tensor.clone(),
        )
    });
    let path = dir.path().join(TENSOR_FILE);
    fs::write(&path, encode_tensors(&path, &tensors.collect()).unwrap()).unwrap();
    let config = json!({"r": 4, "lora_alpha": 8, "target_modules": ["up_proj", "down_proj"], "peft_type": "LORA"});
    fs::write(dir.path().join(CONFIG_FILE), config.to_string()).unwrap();
    load(dir.path()).unwrap();
    fs::remove_file(dir.path().join(CONFIG_FILE)).unwrap();
    match load(dir.path()).unwrap_err() {
        PeftError::File(FileError::Loralib(found)) => {
            assert_eq!(found.layers, 2);
            assert!(
                found
                    .example
                    .contains("\"target_modules\":[\"up_proj\",\"down_proj\"]"),
                "{found}"
            );
        }
        other => panic!("{other}"),
    }
}

#[test]
fn the_lora_b_of_a_merged_linear_layer_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let mut folder = saved(dir.path());
    let key = "base_model.model.layers.0.up_proj.lora_B.weight";
    folder.tensors.get_mut(key).unwrap().shape.push(1);
    write_folder(dir.path(), &folder.config.raw, &folder.tensors).unwrap();
    let error = load(dir.path()).unwrap_err().to_string();
    assert!(
        error.contains(key) && error.contains("merged linear layer"),
        "{error}"
    );
}

#[test]
fn overlapping_and_gapped_tensors_and_gigantic_headers_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let folder = saved(dir.path());
    let path = dir.path().join(TENSOR_FILE);
    let tensor = |start: usize, end: usize| json!({"dtype": "F32", "shape": [(end - start) / 4], "data_offsets": [start, end]});
    let headers = [
        json!({"a": tensor(0, 8), "b": tensor(4, 12)}).to_string(),
        json!({"a": tensor(0, 4), "b": tensor(8, 12)}).to_string(),
        json!({"a": tensor(0, 12), "b": tensor(0, 12)}).to_string(),
        " ".repeat(40_000_000),
        "[".repeat(40_000_000),
    ];
    for header in headers {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.extend([0; 12]);
        fs::write(&path, bytes).unwrap();
        let error = read_folder(dir.path()).unwrap_err();
        assert!(matches!(error, FileError::NotSafetensors { .. }), "{error}");
    }
    for claim in [u64::MAX, 1 << 40, 100_000_001] {
        let mut bytes = claim.to_le_bytes().to_vec();
        bytes.extend(encode_tensors(&path, &folder.tensors).unwrap());
        fs::write(&path, bytes).unwrap();
        assert!(read_folder(dir.path()).is_err());
    }
}
