//! Models of whose matrices the sizes are read alone say what the models themselves would take.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::Path;

use burn::tensor::Device;
use common::golden;
use peft_core::Adaptable;
use peft_models::hf::{FloatDtype, save_model};
use peft_models::{
    CausalLm, Contents, Kept, Loaded, ModelConfig, ModelError, PackFormat, Storage,
    load_causal_lm_with,
};

fn load(dir: &Path, kept: Kept) -> Result<Loaded<CausalLm>, ModelError> {
    let config = ModelConfig::read(dir).unwrap().keeping(kept);
    load_causal_lm_with(config, dir, &Device::flex())
}

fn sizes(storage: Storage) -> Kept {
    Kept {
        storage,
        contents: Contents::Sizes,
    }
}

/// The golden model of a name in bf16.
fn halves(name: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let (source, config) = (golden(name), ModelConfig::read(&golden(name)).unwrap());
    let dtype = Some(FloatDtype::Bf16);
    save_model(&source, dir.path(), &config, &BTreeMap::new(), dtype).unwrap();
    dir
}

/// Path, shape, bytes and format of every matrix.
fn matrices(model: &CausalLm) -> Vec<(String, [usize; 2], usize, &'static str)> {
    let mut found = Vec::new();
    model.visit_linears(&mut |linear| {
        let dims = linear.weight.dims();
        let (bytes, format) = match linear.weight.as_packed() {
            Some(packed) => (packed.bytes(), packed.format()),
            None => (4 * dims[0] * dims[1], "F32"),
        };
        found.push((linear.site().path.clone(), dims, bytes, format));
    });
    found
}

#[test]
fn stand_ins_have_the_sizes_and_forms_of_what_they_stand_for() {
    let storages = [
        Storage::F32,
        Storage::Stored,
        Storage::Packed(PackFormat::Nf4),
        "q8_0".parse().unwrap(),
        "bf16".parse().unwrap(),
    ];
    let mut formats = HashSet::new();
    for name in ["llama", "gpt2", "qwen3"] {
        let dir = halves(name);
        for storage in storages {
            let read = load(dir.path(), storage.into()).unwrap();
            let alone = load(dir.path(), sizes(storage)).unwrap();
            let found = matrices(&alone.model);
            assert_eq!(found, matrices(&read.model), "{name} {storage}");
            assert!(alone.names.iter().eq(read.names.iter()), "{name}");
            formats.extend(found.iter().map(|(_, _, _, format)| *format));
        }
    }
    assert!(
        formats.contains("F32") && formats.contains("BF16"),
        "{formats:?}"
    );
    assert!(formats.contains("Q8_0"), "{formats:?}");
}

/// A file of values that nothing could be rounded to.
#[test]
fn values_are_not_looked_at() {
    let dir = halves("qwen3");
    let file = dir.path().join("model.safetensors");
    let mut bytes = fs::read(&file).unwrap();
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    bytes[header..].fill(0xff);
    fs::write(&file, bytes).unwrap();
    let storage: Storage = "q8_0".parse().unwrap();
    let refused = load(dir.path(), storage.into()).unwrap_err();
    assert!(matches!(refused, ModelError::Pack { .. }), "{refused}");
    load(dir.path(), sizes(storage)).unwrap();
    // What does not fit is refused as ever.
    let text = fs::read_to_string(dir.path().join("config.json")).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&text).unwrap();
    config["intermediate_size"] = 7.into();
    fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
    let refused = load(dir.path(), sizes(storage)).unwrap_err();
    assert!(matches!(refused, ModelError::Weights { .. }), "{refused}");
}
