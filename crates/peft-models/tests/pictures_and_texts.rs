//! The language model inside a model of pictures and texts: Gemma 3 as it is published from 4 billion values on.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::Device;
use common::{floats, golden};
use peft_core::file::{HostTensor, read_tensors, write_tensors};
use peft_core::{Adaptable, Pass};
use peft_models::{
    CausalBatch, ModelConfig, causal_lm_sites, hf::save_model, load_causal_lm, load_causal_lm_with,
};
use serde_json::{Value, json};

const WEIGHTS: &str = "model.safetensors";
const QUERY: &str = "layers.0.self_attn.q_proj.weight";

/// The golden language model inside another, with the names that transformers writes.
fn write_whole(dir: &Path) {
    let text = golden("gemma3");
    let mut tensors: BTreeMap<String, HostTensor> = BTreeMap::new();
    for (name, tensor) in read_tensors(&text.join(WEIGHTS)).unwrap() {
        tensors.insert(format!("language_model.{name}"), tensor);
    }
    let norm = tensors["language_model.model.norm.weight"].clone();
    for name in [
        "vision_tower.head.bias",
        "multi_modal_projector.norm.weight",
    ] {
        tensors.insert(name.to_owned(), norm.clone());
    }
    write_tensors(&dir.join(WEIGHTS), &tensors).unwrap();
    let config = std::fs::read_to_string(text.join("config.json")).unwrap();
    let mut config: Value = serde_json::from_str(&config).unwrap();
    config["model_type"] = json!("gemma3_text");
    let whole = json!({
        "model_type": "gemma3", "architectures": ["Gemma3ForConditionalGeneration"], "text_config": config,
        "vision_config": {"hidden_size": 7, "model_type": "siglip_vision_model"}, "mm_tokens_per_image": 4,
    });
    std::fs::write(dir.join("config.json"), whole.to_string()).unwrap();
}

fn logits(dir: &Path) -> Vec<f32> {
    let device = Device::flex();
    let model = load_causal_lm(dir, &device).unwrap().model;
    let batch = CausalBatch::left_padded(&[vec![5, 6, 7, 8, 9, 10, 11, 12]], &device).unwrap();
    floats(model.logits(&batch, None, &mut Pass::eval()))
}

#[test]
fn it_computes_what_it_computes_alone_and_has_the_names_of_the_whole() {
    let dir = tempfile::tempdir().unwrap();
    write_whole(dir.path());
    assert_eq!(logits(dir.path()), logits(&golden("gemma3")));
    let config = ModelConfig::read(dir.path()).unwrap();
    let sites = causal_lm_sites(&config).unwrap();
    let loaded = load_causal_lm_with(config, dir.path(), &Device::flex()).unwrap();
    assert!(loaded.fresh.is_empty());
    assert_eq!(sites, loaded.model.sites());
    assert_eq!(
        sites[1].path,
        "model.language_model.layers.0.self_attn.q_proj"
    );
}

#[test]
fn a_folder_that_is_written_has_what_stands_beside_it() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [input, output] = dirs.each_ref().map(tempfile::TempDir::path);
    write_whole(input);
    let before = read_tensors(&input.join(WEIGHTS)).unwrap();
    let mut query = before[&format!("language_model.model.{QUERY}")].clone();
    query.data.fill(0.5);
    let replaced = BTreeMap::from([(format!("model.language_model.{QUERY}"), query)]);
    let config = ModelConfig::read(input).unwrap();
    save_model(input, output, &config, &replaced, None).unwrap();
    let after = read_tensors(&output.join(WEIGHTS)).unwrap();
    assert!(after.keys().eq(before.keys()));
    for (name, tensor) in &after {
        match name.ends_with(QUERY) {
            true => assert!(tensor.data.iter().all(|value| *value == 0.5)),
            false => assert_eq!(tensor.data, before[name].data, "{name}"),
        }
    }
    let json = |dir: &Path| -> Value {
        let text = std::fs::read_to_string(dir.join("config.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    };
    let (before, after) = (json(input), json(output));
    assert_eq!(after["vision_config"], before["vision_config"]);
    assert_eq!(after["architectures"], before["architectures"]);
    assert_eq!(
        after["text_config"]["layer_types"],
        before["text_config"]["layer_types"]
    );
    assert_eq!(after["text_config"]["model_type"], "gemma3_text");
    assert!(logits(output) != logits(input));
}
