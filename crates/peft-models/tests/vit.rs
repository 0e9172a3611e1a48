//! ViT against the numbers of `transformers` and PEFT (tools/golden/vit.py).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use burn::nn::loss::CrossEntropyLossConfig;
use burn::tensor::{Device, Int, Tensor, TensorData};
use common::{Expected, assert_close, floats, golden};
use peft_core::file::key;
use peft_core::lora::{LORA, LoraAdapter};
use peft_core::{Adaptable, Pass, TrainedCopy, folder};
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
    assert_close(
        &floats(logits.clone()),
        &expected.floats("adapted.logits"),
        TOLERANCE,
    );
    let labels = TensorData::new(vec![2_i64, 0, 1, 2], [4]);
    let labels = Tensor::<1, Int>::from_data(labels, &device);
    let loss = CrossEntropyLossConfig::new()
        .init(&device)
        .forward(logits, labels);
    assert_close(&floats(loss.clone()), &expected.floats("loss"), 1e-5);
    let grads = loss.backward();
    let mut compared = 0;
    let mut compare = |path: &str, tensor: &str, grad: Vec<f32>| {
        let wanted = expected.floats(&format!("grad.{}", key(path, tensor)));
        let size = wanted.iter().fold(0.1_f32, |m, v| m.max(v.abs()));
        assert_close(&grad, &wanted, 1e-4 * size);
        compared += 1;
    };
    model.visit_linears(&mut |linear| {
        let path = &linear.site().path;
        let Some(adapter) = linear.adapter("a") else {
            return;
        };
        let grad = |tensor: Tensor<2>| floats(tensor.grad(&grads).unwrap().transpose());
        if let Some(lora) = adapter.downcast_ref::<LoraAdapter>() {
            compare(path, "lora_A.weight", grad(lora.a.val()));
            compare(path, "lora_B.weight", grad(lora.b.val()));
        } else {
            let head: &TrainedCopy = adapter.downcast_ref().unwrap();
            compare(path, "weight", grad(head.weight.val()));
            let bias = head.bias.as_ref().unwrap().val().grad(&grads).unwrap();
            compare(path, "bias", floats(bias));
        }
    });
    assert_eq!(compared, 10);
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
