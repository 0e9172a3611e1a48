//! ViT against the numbers of `transformers` and PEFT (tools/golden/vit.py).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "common/adapted.rs"]
mod adapted;
mod common;

use adapted::assert_gradients_of_peft;
use burn::tensor::{Device, Tensor, TensorData};
use common::{Expected, assert_close, floats, golden};
use peft_core::file::read_folder;
use peft_core::lora::LORA;
use peft_core::target::Target;
use peft_core::{Adaptable, AdapterSpec, Naming, Pass, folder};
use peft_models::{ModelConfig, VitConfig, load_image_classifier};
use serde_json::json;

const TOLERANCE: f32 = 1e-4;

fn pixels(expected: &Expected, device: &Device) -> Tensor<4> {
    let values = expected.floats("pixels");
    Tensor::from_data(TensorData::new(values, [4, 3, 12, 12]), device)
}

#[test]
fn hidden_states_and_logits_are_those_of_transformers() {
    let device = Device::flex();
    let expected = Expected::of("vit");
    let loaded = load_image_classifier(&golden("vit"), None, 0, &device).unwrap();
    assert!(loaded.fresh.is_empty() && loaded.ignored.is_empty());
    let model = loaded.model;
    let hidden = model.hidden(pixels(&expected, &device), &mut Pass::eval());
    assert_close(&floats(hidden), &expected.floats("hidden"), TOLERANCE);
    let logits = model.logits(pixels(&expected, &device), &mut Pass::eval());
    assert_close(&floats(logits), &expected.floats("logits"), TOLERANCE);
    assert_eq!(
        model.sites()[0].path,
        "vit.encoder.layer.0.attention.attention.query"
    );
}

#[test]
fn an_adapter_of_peft_has_its_logits_and_gradients() {
    let device = Device::flex().autodiff();
    let expected = Expected::of("vit");
    let loaded = load_image_classifier(&golden("vit"), None, 0, &device).unwrap();
    let dir = golden("vit").join("adapter");
    let model = folder::load(loaded.model, &loaded.names, "a", &[&LORA], &dir)
        .unwrap()
        .model;
    let logits = model.logits(pixels(&expected, &device), &mut Pass::eval());
    assert_eq!(assert_gradients_of_peft(&expected, &model, logits), 10);
}

#[test]
fn names_of_transformers_5_are_read_and_written() {
    let device = Device::flex();
    let expected = Expected::of("vit");
    let loaded = load_image_classifier(&golden("vit"), None, 0, &device).unwrap();
    let names = loaded.names;
    let dir = golden("vit").join("adapter-transformers-5");
    let read = folder::load(loaded.model, &names, "a", &[&LORA], &dir).unwrap();
    let logits = read
        .model
        .logits(pixels(&expected, &device), &mut Pass::eval());
    assert_close(
        &floats(logits),
        &expected.floats("adapted.logits"),
        TOLERANCE,
    );
    let out = tempfile::tempdir().unwrap();
    folder::save(&read.model, &names, "a", &read.spec, out.path()).unwrap();
    let (theirs, ours) = (read_folder(&dir).unwrap(), read_folder(out.path()).unwrap());
    assert_eq!(ours.tensors, theirs.tensors);
    let Some(Target::List(targets)) = ours.config.target else {
        panic!("expected a list of paths");
    };
    let expected = [0, 1].map(|layer| {
        ["q_proj", "v_proj"].map(|name| format!("vit.layers.{layer}.attention.{name}"))
    });
    assert_eq!(targets, expected.concat());
    let spec = AdapterSpec {
        naming: Naming::default(),
        ..read.spec.clone()
    };
    folder::save(&read.model, &names, "a", &spec, out.path()).unwrap();
    let published = read_folder(&golden("vit").join("adapter")).unwrap();
    assert_eq!(read_folder(out.path()).unwrap().tensors, published.tensors);
}

#[test]
fn a_head_for_other_labels_starts_afresh_and_impossible_sizes_are_refused() {
    let device = Device::flex();
    let loaded = load_image_classifier(&golden("vit"), Some(7), 1, &device).unwrap();
    assert_eq!(loaded.fresh, ["classifier.bias", "classifier.weight"]);
    assert_eq!(loaded.model.head.site().d_out, 7);
    for (field, value) in [
        ("patch_size", json!(5)),
        ("num_attention_heads", json!(5)),
        ("num_hidden_layers", json!(u64::MAX)),
        ("qkv_bias", json!("no")),
        ("model_type", json!("swin")),
    ] {
        let config = ModelConfig::read(&golden("vit")).unwrap();
        let mut raw = config.raw().clone();
        raw.insert(field.to_owned(), value);
        let text = serde_json::Value::Object(raw).to_string();
        let config = ModelConfig::parse(std::path::Path::new("config.json"), &text).unwrap();
        let error = VitConfig::read(&config).unwrap_err().to_string();
        let named = if field == "model_type" { "swin" } else { field };
        assert!(error.contains(named), "{error}");
    }
}
