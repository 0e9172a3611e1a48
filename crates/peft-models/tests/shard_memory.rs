//! A model in BF16 shards is read tensor by tensor: never a second copy of all weights.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use burn::tensor::Device;
use peak_alloc::PeakAlloc;
use peft_models::hf::{FloatDtype, export, save_model, write_model};
use peft_models::{ModelConfig, init_causal_lm, load_causal_lm};
use safetensors::SafeTensors;
use safetensors::tensor::serialize;
use serde_json::json;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// The only test of its process, so that nothing else allocates.
#[test]
fn the_peak_of_loading_is_near_the_size_of_the_model_and_shards_that_lack_are_named() {
    let root = tempfile::tempdir().unwrap();
    let (whole, half, shards) = (
        root.path().join("whole"),
        root.path().join("half"),
        root.path().join("shards"),
    );
    let config = json!({
        "model_type": "qwen2", "vocab_size": 4000, "hidden_size": 256, "intermediate_size": 768,
        "num_hidden_layers": 6, "num_attention_heads": 8, "num_key_value_heads": 2,
        "max_position_embeddings": 64, "tie_word_embeddings": true
    });
    let config = ModelConfig::parse(Path::new("config.json"), &config.to_string()).unwrap();
    let device = Device::flex();
    let parameters = {
        let loaded = init_causal_lm(config, 1, &device).unwrap();
        let tensors = export(&loaded.model, &loaded.names);
        write_model(&whole, &loaded.config, &tensors).unwrap();
        let none = BTreeMap::new();
        save_model(&whole, &half, &loaded.config, &none, Some(FloatDtype::Bf16)).unwrap();
        tensors
            .values()
            .map(|tensor| tensor.data.len())
            .sum::<usize>()
    };
    split(&half, &shards);

    let before = HEAP.current_usage_as_mb();
    HEAP.reset_peak_usage();
    let loaded = load_causal_lm(&shards, &device).unwrap();
    let peak = HEAP.peak_usage_as_mb() - before;
    let size = 4.0 * parameters as f32 / 1024.0 / 1024.0;
    assert!(size > 20.0, "{size} MiB say something");
    assert!(peak < 1.3 * size, "{peak:.1} MiB for {size:.1} MiB");
    drop(loaded);

    fs::remove_file(shards.join("model-00002-of-00002.safetensors")).unwrap();
    let error = load_causal_lm(&shards, &device).unwrap_err().to_string();
    assert!(error.contains("model-00002-of-00002"), "{error}");
}

/// One file as two shards with an index.
fn split(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    fs::copy(from.join("config.json"), to.join("config.json")).unwrap();
    let bytes = fs::read(from.join("model.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut places = serde_json::Map::new();
    let names = file.names();
    for (at, names) in names.chunks(names.len().div_ceil(2)).enumerate() {
        let shard = format!("model-0000{}-of-00002.safetensors", at + 1);
        let views = names.iter().map(|name| (*name, file.tensor(name).unwrap()));
        fs::write(to.join(&shard), serialize(views, None).unwrap()).unwrap();
        places.extend(names.iter().map(|name| ((*name).to_owned(), json!(shard))));
    }
    let index = json!({"weight_map": places}).to_string();
    fs::write(to.join("model.safetensors.index.json"), index).unwrap();
}
