//! Models of transformers, converted to GGUF, seen as transformers have them.

#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod common;

use std::collections::BTreeSet;
use std::fs;

use common::{golden, whole};
use peft_gguf::GgmlType;
use peft_gguf::hf::{Architecture, HfTensors, Layout, names};
use serde_json::{Map, Value};

fn models() -> Map<String, Value> {
    let text = fs::read_to_string(golden("hf/models.json")).unwrap();
    let models: Value = serde_json::from_str(&text).unwrap();
    models.as_object().unwrap().clone()
}

fn opened(name: &str) -> HfTensors {
    HfTensors::open(&golden(&format!("hf/{name}.gguf"))).unwrap()
}

#[test]
fn configurations_are_those_of_transformers() {
    for (name, expected) in models() {
        let mut config = opened(&name).config().unwrap();
        if name == "phi3_long" {
            // What transformers compute of the two lengths, 64 and 32.
            let scaling = config["rope_scaling"].as_object_mut().unwrap();
            let found = scaling.remove("attention_factor").unwrap();
            let expected = (1.0 + 2.0_f64.ln() / 32.0_f64.ln()).sqrt();
            assert!((found.as_f64().unwrap() - expected).abs() < 1e-6);
        }
        for (field, value) in expected["config"].as_object().unwrap() {
            assert_eq!(config.get(field), Some(value), "{name}: {field}");
        }
        assert_eq!(
            config.contains_key("rope_scaling"),
            expected["config"].get("rope_scaling").is_some(),
            "{name}"
        );
        assert_eq!(config["torch_dtype"], "float32");
        let order: Vec<_> = config.keys().take(2).collect();
        assert_eq!(order, ["architectures", "model_type"]);
    }
}

#[test]
fn tensors_have_the_names_shapes_and_values_of_transformers() {
    for (name, expected) in models() {
        let model = opened(&name);
        let expected = expected["tensors"].as_object().unwrap();
        let found: BTreeSet<_> = model.iter().map(|tensor| tensor.name()).collect();
        assert_eq!(found, expected.keys().map(String::as_str).collect());
        for (tensor, expected) in expected {
            let shape = serde_json::to_value(model.get(tensor).unwrap().shape()).unwrap();
            assert_eq!(shape, expected["shape"], "{name}: {tensor}");
            let values = model.values(tensor).unwrap();
            let values = values.iter().map(|value| f64::from(*value));
            let sum: f64 = values.clone().sum();
            let weighted: f64 = values.zip(1_u32..).map(|(v, at)| v * f64::from(at)).sum();
            for (found, expected) in [(sum, &expected["sum"]), (weighted, &expected["weighted"])] {
                let expected = expected.as_f64().unwrap();
                assert!(
                    (found - expected).abs() <= 1e-9 * expected.abs().max(1.0),
                    "{name}: {tensor}: {found} for {expected}"
                );
            }
        }
    }
}

#[test]
fn tables_of_frequencies_are_no_parameters() {
    assert_eq!(opened("llama_llama3").ignored(), ["rope_freqs.weight"]);
    assert!(opened("llama_tied").ignored().is_empty());
}

#[test]
fn packed_rows_lie_in_the_order_of_rows() {
    for name in ["llama_q8_0", "llama_biases"] {
        let model = opened(name);
        let mut moved = 0;
        for tensor in model.iter() {
            let packed = model.packed(tensor.name()).unwrap();
            let file = packed.values().unwrap();
            let values = model.values(tensor.name()).unwrap();
            let Some(order) = model.row_order(tensor.name()).unwrap() else {
                assert_eq!(tensor.layout(), Layout::Same);
                assert_eq!(values, file);
                continue;
            };
            moved += 1;
            let columns = values.len() / order.len();
            let rows = order.iter().flat_map(|row| {
                let at = *row as usize * columns;
                file[at..at + columns].iter().copied()
            });
            assert_eq!(rows.collect::<Vec<_>>(), values, "{}", tensor.name());
            assert_ne!(file, values, "{}", tensor.name());
        }
        // Weights of queries and keys, and biases where there are some.
        assert_eq!(moved, if name == "llama_biases" { 4 } else { 2 });
    }
    let kind = |name: &str| {
        *opened("llama_q8_0")
            .get(name)
            .map(|t| t.kind())
            .as_ref()
            .unwrap()
    };
    assert_eq!(
        kind("model.layers.0.self_attn.q_proj.weight"),
        GgmlType::Q8_0
    );
    assert_eq!(kind("model.norm.weight"), GgmlType::F32);
}

#[test]
fn what_is_read_is_written_to_the_same_values() {
    for (name, _) in models() {
        let model = opened(&name);
        for tensor in model.iter() {
            let file = names::to_gguf(model.architecture(), tensor.name());
            assert_eq!(file.as_deref(), Some(tensor.info().name()));
            let values = model.values(tensor.name()).unwrap();
            let back = tensor.layout().to_gguf(values, tensor.shape()).unwrap();
            let file = model.model().values(tensor.info().name()).unwrap();
            assert_eq!(back, file, "{name}: {}", tensor.name());
            assert_eq!(tensor.layout().shape(tensor.shape()), tensor.info().shape());
        }
    }
}

#[test]
fn a_name_that_is_not_there_has_its_nearest() {
    let model = opened("gpt2");
    assert_eq!(model.architecture(), Architecture::Gpt2);
    let error = model
        .values("transformer.h.0.attn.c_atn.weight")
        .unwrap_err();
    let text = whole(&error);
    assert!(
        text.contains("gpt2.gguf") && text.ends_with("it has `transformer.h.0.attn.c_attn.weight`"),
        "{text}"
    );
}
