//! Models whose frozen weights stay packed: the values of the file, the products of these values, and the rest as ever.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::path::Path;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use common::golden;
use peft_core::merge::merge;
use peft_core::target::{Target, TargetRules};
use peft_core::{Adaptable, AdapterSpec, Pass, attach, count, mark_trainable, param_id};
use peft_models::hf::{FloatDtype, export, save_model};
use peft_models::{
    CausalBatch, CausalLm, Loaded, ModelConfig, ModelError, PackFormat, Storage,
    load_causal_lm_with, load_classifier_with,
};

/// Logits of a model and the same one unpacked.
const CLOSE: f32 = 1e-5;

fn load(dir: &Path, storage: Storage, device: &Device) -> Loaded<CausalLm> {
    let config = ModelConfig::read(dir).unwrap().keeping(storage);
    load_causal_lm_with(config, dir, device).unwrap()
}

fn batch(device: &Device) -> CausalBatch {
    CausalBatch::left_padded(&[vec![3, 9, 1, 4, 7, 2], vec![5, 8, 6, 1, 0, 2]], device).unwrap()
}

fn logits(model: &CausalLm, device: &Device) -> Vec<f32> {
    let logits = model.logits(&batch(device), None, &mut Pass::eval());
    logits.into_data().iter().collect()
}

/// Largest difference, over the largest value.
fn apart(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
    let pairs = found.iter().zip(expected);
    pairs.fold(0.0_f32, |most, (a, b)| most.max((a - b).abs())) / largest
}

/// Layers that are packed, by their formats.
fn formats(model: &CausalLm) -> Vec<&'static str> {
    let mut formats = Vec::new();
    model.visit_linears(&mut |linear| {
        formats.push(
            linear
                .weight
                .as_packed()
                .map_or("dense", |packed| packed.format()),
        );
    });
    formats
}

/// The folder of a family in another type.
fn in_type(name: &str, dtype: FloatDtype) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let (source, config) = (golden(name), ModelConfig::read(&golden(name)).unwrap());
    let changed = std::collections::BTreeMap::new();
    save_model(&source, dir.path(), &config, &changed, Some(dtype)).unwrap();
    dir
}

#[test]
fn halves_stay_as_they_are_and_give_the_same_logits_and_gradients() {
    let device = Device::flex().autodiff();
    for name in ["llama", "gpt2", "qwen3", "mistral"] {
        for dtype in [FloatDtype::Bf16, FloatDtype::F16] {
            let dir = in_type(name, dtype);
            let [full, kept] =
                [Storage::F32, Storage::Stored].map(|storage| load(dir.path(), storage, &device));
            let format = match dtype {
                FloatDtype::Bf16 => "BF16",
                _ => "F16",
            };
            let found = formats(&kept.model);
            assert!(
                found.iter().all(|found| *found == format),
                "{name}: {found:?}"
            );
            assert!(formats(&full.model).iter().all(|format| *format == "dense"));
            let expected = logits(&full.model, &device);
            assert!(
                apart(&logits(&kept.model, &device), &expected) < CLOSE,
                "{name}"
            );
            let [expected, found] = [full, kept].map(|loaded| gradients(loaded, &device));
            assert_eq!(found.len(), expected.len());
            assert!(apart(&found, &expected) < 10.0 * CLOSE, "{name}");
        }
    }
}

fn adapted(loaded: &Loaded<CausalLm>) -> CausalLm {
    let spec = AdapterSpec {
        rank: 2,
        alpha: 4.0,
        targets: TargetRules::new(Target::AllLinear),
        ..AdapterSpec::default()
    };
    let (model, _) = attach(loaded.model.clone(), &loaded.names, "default", &spec, 3).unwrap();
    model
}

/// Gradients of every factor of a LoRA on all layers, of the loss that leaves no logits behind.
fn gradients(loaded: Loaded<CausalLm>, device: &Device) -> Vec<f32> {
    let model = adapted(&loaded);
    let hidden = model
        .decoder
        .hidden(&batch(device), None, &mut Pass::eval());
    let [rows, seq, d] = hidden.dims();
    let targets: Vec<u32> = (0..rows * seq).map(|at| at as u32 % 11).collect();
    let losses = model.losses(hidden.reshape([rows * seq, d]), &targets, &mut Pass::eval());
    let grads = losses.mean().backward();
    let mut found = Vec::new();
    model.visit_linears(&mut |linear| {
        let Some(adapter) = linear.adapter("default") else {
            return;
        };
        let lora = adapter
            .downcast_ref::<peft_core::lora::LoraAdapter>()
            .unwrap();
        let grad = lora.b.val().grad(&grads).unwrap();
        found.extend(grad.into_data().iter::<f32>());
    });
    assert!(found.iter().any(|value| *value != 0.0));
    found
}

#[test]
fn losses_are_those_of_the_logits() {
    let device = Device::flex();
    for name in ["llama", "gpt2", "qwen3"] {
        for storage in [Storage::F32, Storage::Packed(PackFormat::Nf4)] {
            let model = load(&golden(name), storage, &device).model;
            let hidden = model
                .decoder
                .hidden(&batch(&device), None, &mut Pass::eval());
            let [rows, seq, d] = hidden.dims();
            let hidden = hidden.reshape([rows * seq, d]);
            let targets: Vec<u32> = (0..rows * seq).map(|at| at as u32).collect();
            let logits = model.predict(hidden.clone().unsqueeze(), &mut Pass::eval());
            let vocab = logits.dims()[2];
            let logits = logits.reshape([rows * seq, vocab]);
            let logs = burn::tensor::activation::log_softmax(logits, 1);
            let ids: Vec<i64> = targets.iter().map(|id| i64::from(*id)).collect();
            let ids = TensorData::new(ids, [rows * seq, 1]);
            let ids = Tensor::<2, burn::tensor::Int>::from_data(ids, &device);
            let expected: Vec<f32> = logs.gather(1, ids).neg().into_data().iter().collect();
            let found = model.losses(hidden, &targets, &mut Pass::eval());
            let found: Vec<f32> = found.into_data().iter().collect();
            assert!(apart(&found, &expected) < CLOSE, "{name}");
        }
    }
}

#[test]
fn weights_are_rounded_as_they_are_read_and_tables_less() {
    let device = Device::flex();
    let full = load(&golden("qwen3"), Storage::F32, &device);
    let expected = logits(&full.model, &device);
    let mut last = f32::INFINITY;
    for (format, most) in [
        ("nf4", 0.5),
        ("q4_0", 0.5),
        ("q8_0", 0.05),
        ("bf16", 0.02),
        ("f16", 0.005),
    ] {
        let storage: Storage = format.parse().unwrap();
        let loaded = load(&golden("qwen3"), storage, &device);
        let found = formats(&loaded.model);
        let error = apart(&logits(&loaded.model, &device), &expected);
        assert!(0.0 < error && error < most, "{format}: {error}, {found:?}");
        assert!(
            found.iter().any(|found| found.to_lowercase() == format),
            "{format}: {found:?}"
        );
        last = last.min(error);
    }
    assert!(last < 0.005);
}

#[test]
fn visitors_see_the_values_and_counts_do_not_change() {
    let device = Device::flex();
    let dir = in_type("llama", FloatDtype::Bf16);
    let [full, kept] =
        [Storage::F32, Storage::Stored].map(|storage| load(dir.path(), storage, &device));
    let none = std::collections::HashSet::new();
    assert_eq!(count(&kept.model, &none), count(&full.model, &none));
    let [expected, found] = [&full, &kept].map(|loaded| export(&loaded.model, &loaded.names));
    assert_eq!(
        found.keys().collect::<Vec<_>>(),
        expected.keys().collect::<Vec<_>>()
    );
    for (name, tensor) in &found {
        assert_eq!(tensor.shape, expected[name].shape, "{name}");
        assert_eq!(tensor.data, expected[name].data, "{name}");
    }
    let moved = kept.model.clone().train().valid();
    assert_eq!(logits(&moved, &device), logits(&kept.model, &device));
}

#[test]
fn a_packed_weight_that_is_to_train_is_unpacked() {
    let device = Device::flex().autodiff();
    let dir = in_type("llama", FloatDtype::Bf16);
    let loaded = load(dir.path(), Storage::Stored, &device);
    let name = "model.layers.0.mlp.up_proj.weight";
    let ids = std::collections::HashSet::from([param_id(name)]);
    let model = mark_trainable(loaded.model.clone(), &ids);
    let mut seen = 0;
    model.visit_linears(&mut |linear| {
        let trains = linear.weight.id() == param_id(name);
        assert_eq!(
            linear.weight.as_packed().is_none(),
            trains,
            "{}",
            linear.site().path
        );
        seen += usize::from(trains);
    });
    assert_eq!(seen, 1);
    let found = logits(&model, &device);
    assert!(apart(&found, &logits(&loaded.model, &device)) < CLOSE);
}

#[test]
fn adapters_merge_into_the_values() {
    let device = Device::flex();
    let loaded = load(&golden("qwen3"), Storage::Packed(PackFormat::Nf4), &device);
    let model = adapted(&loaded);
    let mut changed = model;
    changed.visit_linears_mut(&mut |linear| {
        let Some(adapter) = linear.remove("default") else {
            return;
        };
        let mut lora = adapter
            .downcast_ref::<peft_core::lora::LoraAdapter>()
            .unwrap()
            .clone();
        lora.b = lora
            .b
            .map(|b| b.random_like(burn::tensor::Distribution::Uniform(-0.5, 0.5)));
        linear.insert("default", peft_core::AnyAdapter::new(lora));
    });
    let expected = logits(&changed, &device);
    let merged = merge(changed).unwrap();
    assert!(apart(&logits(merged.model(), &device), &expected) < 1e-4);
    let back = merged.unmerge();
    assert_eq!(logits(&back, &device), expected);
    assert!(formats(&back).contains(&"NF4"));
}

#[test]
fn classifiers_and_their_heads_load_too() {
    let device = Device::flex();
    let dir = in_type("bert", FloatDtype::Bf16);
    let config = ModelConfig::read(dir.path()).unwrap();
    let config = config.keeping(Storage::Stored);
    let loaded = load_classifier_with(config, dir.path(), None, 0, &device).unwrap();
    let (mut packed, mut dense) = (0, Vec::new());
    loaded
        .model
        .visit_linears(&mut |linear| match linear.weight.as_packed() {
            Some(_) => packed += 1,
            None => dense.push(linear.site().path.clone()),
        });
    assert!(packed > 0);
    // What a task may start afresh is kept as what trains.
    assert_eq!(dense, ["bert.pooler.dense", "classifier"]);
}

#[test]
fn values_that_are_no_numbers_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let source = golden("qwen3");
    let config = ModelConfig::read(&source).unwrap();
    let loaded = load(&source, Storage::F32, &Device::flex());
    let name = "model.layers.0.self_attn.o_proj.weight";
    let mut tensors = export(&loaded.model, &loaded.names);
    tensors.retain(|key, _| key == name);
    tensors.get_mut(name).unwrap().data[7] = f32::NAN;
    save_model(&source, dir.path(), &config, &tensors, None).unwrap();
    let config = config.keeping(Storage::Packed(PackFormat::Nf4));
    let error = load_causal_lm_with(config, dir.path(), &Device::flex()).unwrap_err();
    assert!(
        matches!(&error, ModelError::Pack { name: found, .. } if found == name),
        "{error}"
    );
    assert!(error.to_string().contains("only finite values"), "{error}");
}

#[test]
fn every_name_of_a_storage_is_found_again() {
    for name in PackFormat::names().chain(["f32", "stored"]) {
        let storage: Storage = name.parse().unwrap();
        assert_eq!(storage.to_string(), name);
        assert_eq!(name.to_uppercase().parse::<Storage>().unwrap(), storage);
    }
    let error = "nf5".parse::<Storage>().unwrap_err().to_string();
    assert!(
        error.contains("`nf5`") && error.contains("nf4, q4_0"),
        "{error}"
    );
}
