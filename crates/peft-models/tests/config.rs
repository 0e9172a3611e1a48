//! Configurations: real ones, unsupported ones, damaged ones.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::path::Path;

use burn::tensor::Device;
use common::golden;
use peft_core::Adaptable;
use peft_models::{
    Family, ModelConfig, ModelError, classifier_sites, default_targets, encoder_sites,
    init_classifier, init_encoder,
};
use serde_json::{Value, json};

fn parse(text: &str) -> Result<ModelConfig, ModelError> {
    ModelConfig::parse(Path::new("some/config.json"), text)
}

/// The golden configuration of a family with one field changed.
fn with(name: &str, field: &str, value: Value) -> Result<(), ModelError> {
    let config = ModelConfig::read(&golden(name))
        .unwrap()
        .with_field(field, value);
    let family = Family::of(&config)?;
    (family.read)(&config).map(drop)
}

#[test]
fn seventeen_real_configurations_are_read_or_refused_by_name() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/model_configs");
    let Ok(entries) = fs::read_dir(&folder) else {
        eprintln!("SKIPPED: no real configurations in {}", folder.display());
        return;
    };
    let mut supported = Vec::new();
    let mut refused = 0;
    for entry in entries {
        let dir = entry.unwrap().path();
        let config = ModelConfig::read(&dir).unwrap_or_else(|error| panic!("{error}"));
        match Family::of(&config).and_then(|family| (family.read)(&config)) {
            Ok(sizes) => supported.push((
                config.model_type().to_owned(),
                sizes.d_model,
                config.num_labels(),
            )),
            Err(error @ ModelError::UnsupportedModel { .. }) => {
                assert!(error.to_string().contains(config.model_type()), "{error}");
                refused += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
    supported.sort();
    let expected = [("bert", 768, 9), ("bert", 1024, 1), ("distilbert", 768, 9)];
    assert_eq!(
        supported,
        expected.map(|(name, d, labels)| (name.to_owned(), d, labels))
    );
    assert_eq!(refused, 14);
}

#[test]
fn unsupported_options_are_refused_by_name_and_value() {
    let cases = [
        ("hidden_act", json!("quick_gelu")),
        ("position_embedding_type", json!("relative_key")),
        ("is_decoder", json!(true)),
        ("add_cross_attention", json!(true)),
        ("quantization_config", json!({"bits": 4})),
        ("pruned_heads", json!({"0": [1]})),
    ];
    for (field, value) in cases {
        match with("bert", field, value.clone()) {
            Err(ModelError::UnsupportedOption { option, .. }) => assert_eq!(option, field),
            other => panic!("{field} = {value}: {other:?}"),
        }
    }
    with("bert", "position_embedding_type", json!("absolute")).unwrap();
    for activation in ["gelu", "gelu_new", "gelu_pytorch_tanh", "relu", "silu"] {
        with("bert", "hidden_act", json!(activation)).unwrap();
    }
}

#[test]
fn fields_of_the_wrong_kind_are_named() {
    let cases = [
        ("bert", "hidden_size", json!("wide")),
        ("bert", "hidden_size", json!(0)),
        ("bert", "num_hidden_layers", Value::Null),
        ("bert", "num_attention_heads", json!(5)),
        ("bert", "hidden_dropout_prob", json!(1.5)),
        ("bert", "pad_token_id", json!(100_000)),
        ("distilbert", "dim", json!(-4)),
        ("distilbert", "n_heads", json!(3)),
    ];
    for (name, field, value) in cases {
        match with(name, field, value.clone()) {
            Err(ModelError::Field { field: named, .. }) => assert_eq!(named, field),
            other => panic!("{field} = {value}: {other:?}"),
        }
    }
}

#[test]
fn damaged_files_give_an_error_with_the_path() {
    let deep = "[".repeat(100_000);
    let text = fs::read_to_string(golden("bert").join("config.json")).unwrap();
    for text in [
        "",
        "{",
        "[]",
        "null",
        "{\"model_type\": 3}",
        "{}",
        &text[..text.len() / 2],
        &deep,
    ] {
        let error = parse(text).unwrap_err();
        assert!(error.to_string().starts_with("some/config.json"), "{error}");
    }
    let error = parse(r#"{"model_type": "bert", "num_labels": 99999999999}"#).unwrap_err();
    assert!(matches!(error, ModelError::Field { field, .. } if field == "num_labels"));
    let error = parse(r#"{"model_type": "bert", "id2label": {"0": "a", "2": "b"}}"#).unwrap_err();
    assert!(matches!(error, ModelError::Field { field, .. } if field == "id2label"));
}

#[test]
fn labels_come_from_id2label_then_label2id_then_num_labels() {
    let labels = |fields: &str| {
        parse(&format!("{{\"model_type\": \"bert\"{fields}}}"))
            .unwrap()
            .labels()
            .to_vec()
    };
    assert_eq!(
        labels(r#", "id2label": {"1": "b", "0": "a", "2": "c"}"#),
        ["a", "b", "c"]
    );
    assert_eq!(labels(r#", "label2id": {"b": 1, "a": 0}"#), ["a", "b"]);
    assert_eq!(labels(r#", "num_labels": 1"#), ["LABEL_0"]);
    assert_eq!(labels(""), ["LABEL_0", "LABEL_1"]);
}

#[test]
fn labels_can_be_renamed_and_survive_writing() {
    let config = ModelConfig::read(&golden("bert")).unwrap();
    let names = ["bad".to_owned(), "good".to_owned()];
    let changed = config.with_labels(&names);
    let again = parse(&Value::Object(changed.raw().clone()).to_string()).unwrap();
    assert_eq!(again.labels(), names);
    assert_eq!(again.raw()["label2id"], json!({"bad": 0, "good": 1}));
}

#[test]
fn every_family_has_default_targets() {
    assert_eq!(default_targets("bert"), Some(&["query", "value"][..]));
    assert_eq!(
        default_targets("xlm-roberta"),
        Some(&["query", "value"][..])
    );
    assert_eq!(default_targets("distilbert"), Some(&["q_lin", "v_lin"][..]));
    assert_eq!(default_targets("vit"), None);
}

#[test]
fn the_sites_of_a_configuration_are_those_of_the_model_that_is_built_from_it() {
    for name in ["bert", "roberta", "distilbert"] {
        let config = ModelConfig::read(&golden(name)).unwrap();
        let device = Device::flex();
        let classifier = init_classifier(config.clone(), 0, &device).unwrap().model;
        assert_eq!(
            classifier_sites(&config).unwrap(),
            classifier.sites(),
            "{name}"
        );
        let encoder = init_encoder(config.clone(), 0, &device).unwrap().model;
        assert_eq!(encoder_sites(&config).unwrap(), encoder.sites(), "{name}");
        assert!(!encoder.sites().is_empty());
    }
}
