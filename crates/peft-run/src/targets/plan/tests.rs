//! The plan against what attaching really does.

use std::collections::HashSet;
use std::path::Path;

use burn::tensor::Device;
use peft_core::{attach, count};
use peft_models::{ModelConfig, init_classifier};

use super::*;

/// `adapter_spec` reads the default targets from the model folder.
fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let text = r#"{"model_type":"bert","vocab_size":30,"hidden_size":8,"num_hidden_layers":3,"num_attention_heads":2,
        "hidden_act":"gelu","intermediate_size":20,"max_position_embeddings":40,"type_vocab_size":2}"#;
    std::fs::write(dir.path().join("config.json"), text).unwrap();
    dir
}

fn opened(dir: &Path) -> Opened {
    let device = Device::default().autodiff();
    let loaded = init_classifier(ModelConfig::read(dir).unwrap(), 1, &device).unwrap();
    Opened {
        head_modules: loaded.head_modules(),
        loaded: loaded.map(AnyModel::Classifier),
    }
}

fn settings(dir: &Path, method: &str) -> RunConfig {
    let mut config = RunConfig {
        model: dir.to_owned(),
        ..RunConfig::default()
    };
    config.adapter.method = method.into();
    config
}

#[test]
fn the_plan_counts_what_attaching_makes_trainable() {
    let dir = folder();
    let mut config = settings(dir.path(), "lora");
    config
        .adapter
        .rank_pattern
        .insert("layer.1.*value".into(), 3);
    let opened = opened(dir.path());
    let planned = plan(&config, &opened).unwrap();
    let spec = adapter_spec::build(&config, &opened.head_modules).unwrap();
    let (model, report) = attach(
        opened.loaded.model,
        &opened.loaded.names,
        "default",
        &spec,
        0,
    )
    .unwrap();
    assert_eq!(planned.parameters, count(&model, &HashSet::new()));
    assert_eq!(planned.sites, report.sites);
    assert_eq!(planned.saved, report.saved);
    assert!(!planned.saved.is_empty());
}

#[test]
fn without_an_adapter_the_head_or_everything_trains() {
    let dir = folder();
    let opened = opened(dir.path());
    let head = plan(&settings(dir.path(), "head"), &opened).unwrap();
    // A fresh pooler (8 x 8 + 8) belongs to the head, as does the classifier (8 x 2 + 2).
    assert_eq!(head.parameters.trainable, 72 + 18);
    assert_eq!(head.memory.activations, 0);
    let full = plan(&settings(dir.path(), "full"), &opened).unwrap();
    assert_eq!(full.parameters.trainable, full.parameters.total);
    assert_eq!(full.saved.len(), opened.loaded.names.len());
}

#[test]
fn activations_are_kept_from_the_first_trained_block_on() {
    let dir = folder();
    let opened = opened(dir.path());
    let mut config = settings(dir.path(), "lora");
    let all = plan(&config, &opened).unwrap().memory.activations;
    config.adapter.layers = Some(vec![2]);
    assert_eq!(3 * plan(&config, &opened).unwrap().memory.activations, all);
    let full = plan(&settings(dir.path(), "full"), &opened).unwrap();
    // What trains itself needs its inputs, and norms theirs.
    assert!(full.memory.activations > all);
}
