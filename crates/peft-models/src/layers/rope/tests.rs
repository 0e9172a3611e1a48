//! Frequencies against those of transformers (tools/golden/rope.py).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use serde_json::{Value, json};

use super::*;
use crate::hf::ModelConfig;

/// Both round to f32, one of them at every step of the way; angles of pairs that differ by this much are the same.
const TOLERANCE: f64 = 3e-6;

fn cases() -> Vec<Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/rope.json");
    let golden: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    golden["cases"].as_array().unwrap().clone()
}

fn config(fields: &Value) -> ModelConfig {
    let mut fields = fields.clone();
    fields["model_type"] = json!("any");
    ModelConfig::parse(Path::new("config.json"), &fields.to_string()).unwrap()
}

#[test]
fn every_scaling_is_that_of_transformers() {
    let cases = cases();
    assert!(cases.len() >= 12);
    for case in cases {
        let config = config(&case["config"]);
        let d_head = case["d_head"].as_u64().unwrap() as usize;
        let rope = RopeFields::of(&config, 10_000.0)
            .unwrap()
            .rope(d_head)
            .unwrap();
        let magnitude = case["magnitude"].as_f64().unwrap();
        assert!(
            (f64::from(rope.magnitude) - magnitude).abs() < TOLERANCE,
            "{case}"
        );
        let found = rope
            .frequencies
            .of(case["length"].as_u64().unwrap() as usize);
        let wanted = case["frequencies"].as_array().unwrap();
        assert_eq!(found.len(), wanted.len(), "{case}");
        for (found, wanted) in found.iter().zip(wanted) {
            let wanted = wanted.as_f64().unwrap();
            let error = (f64::from(*found) - wanted).abs();
            assert!(
                error <= TOLERANCE * wanted,
                "{found} for {wanted} of {case}"
            );
        }
    }
}

#[test]
fn what_is_malformed_is_named_with_its_path() {
    let error = |scaling: Value| {
        let fields = json!({"max_position_embeddings": 64, "rope_scaling": scaling});
        let config = config(&fields);
        let fields = RopeFields::of(&config, 10_000.0).unwrap();
        fields.rope(8).unwrap_err().to_string()
    };
    for (scaling, named) in [
        (json!({"type": "linear"}), "rope_scaling.factor"),
        (
            json!({"type": "dynamic", "factor": -1}),
            "rope_scaling.factor",
        ),
        (
            json!({"type": "yarn", "factor": "four"}),
            "rope_scaling.factor",
        ),
        (
            json!({"type": "yarn", "factor": 4, "truncate": 1}),
            "rope_scaling.truncate",
        ),
        (
            json!({"type": "longrope", "short_factor": [1, 1, 1, 1]}),
            "rope_scaling.long_factor",
        ),
        (
            json!({"type": "su", "short_factor": [1, 1]}),
            "rope_scaling.short_factor",
        ),
        (
            json!({"type": "mrope"}),
            "default, linear, dynamic, yarn, longrope, llama3",
        ),
        (
            json!({"partial_rotary_factor": 0.4}),
            "0.4 of heads of width 8",
        ),
    ] {
        let found = error(scaling.clone());
        assert!(found.contains(named), "{scaling}: {found}");
    }
}

#[test]
fn a_part_of_a_head_is_turned_and_the_rest_stays() {
    let fields = json!({"partial_rotary_factor": 0.5, "rope_theta": 10.0});
    let config = config(&fields);
    let rope = RopeFields::of(&config, 1.0).unwrap().rope(8).unwrap();
    let device = Device::flex();
    let x = Tensor::<4>::from_data([[[[1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]]]], &device);
    let y = rope.rotation(&[vec![3]], &device).apply(x);
    let y: Vec<f32> = y.into_data().iter::<f32>().collect();
    assert_eq!(y[4..], [5.0, 6.0, 7.0, 8.0]);
    let turned = 3.0_f32.cos() - 3.0 * 3.0_f32.sin();
    assert!((y[0] - turned).abs() < 1e-6, "{y:?}");
}
