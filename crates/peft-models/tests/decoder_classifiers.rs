//! Decoders with a classification head against `transformers` and PEFT (tools/golden/decoder_classifiers.py).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "common/adapted.rs"]
mod adapted;
mod common;

use adapted::assert_gradients_of_peft;
use burn::tensor::Device;
use common::{Expected, assert_close, floats, golden};
use peft_core::lora::LORA;
use peft_core::merge::merge;
use peft_core::values::named_tensors;
use peft_core::{Adaptable, Pass, folder};
use peft_models::hf::save_model;
use peft_models::{
    CausalBatch, DecoderClassifier, Loaded, ModelConfig, ModelKind, decoder_classifier_sites,
    load_decoder_classifier,
};

const TOLERANCE: f32 = 1e-4;
const NAMES: [&str; 2] = ["llama-classifier", "gpt2-classifier"];
const LENGTHS: [usize; 4] = [11, 4, 7, 1];

fn load(
    dir: &std::path::Path,
    labels: Option<usize>,
    device: &Device,
) -> Loaded<DecoderClassifier> {
    let config = ModelConfig::read(dir).unwrap();
    load_decoder_classifier(config, dir, labels, 1, device).unwrap()
}

/// The rows of the file without their padding, which is on the right there and on the left here.
fn batch(expected: &Expected, device: &Device) -> CausalBatch {
    let rows = expected.full_rows("input_ids").into_iter().zip(LENGTHS);
    let rows: Vec<Vec<u32>> = rows.map(|(row, length)| row[..length].to_vec()).collect();
    CausalBatch::left_padded(&rows, device).unwrap()
}

#[test]
fn logits_of_padded_rows_are_those_of_transformers() {
    let device = Device::flex();
    for name in NAMES {
        let expected = Expected::of(name);
        let loaded = load(&golden(name), None, &device);
        assert!(loaded.fresh.is_empty() && loaded.ignored.is_empty());
        let logits = loaded
            .model
            .logits(&batch(&expected, &device), &mut Pass::eval());
        assert_close(&floats(logits), &expected.floats("logits"), TOLERANCE);
        let config = ModelConfig::read(&golden(name)).unwrap();
        assert_eq!(ModelKind::of(&config), ModelKind::DecoderTexts);
        assert_eq!(
            decoder_classifier_sites(&config).unwrap(),
            loaded.model.sites()
        );
    }
}

#[test]
fn adapters_of_peft_have_its_logits_and_gradients() {
    let device = Device::flex().autodiff();
    for name in NAMES {
        let expected = Expected::of(name);
        let loaded = load(&golden(name), None, &device);
        let dir = golden(name).join("adapter");
        let adapted = folder::load(loaded.model, &loaded.names, "a", &[&LORA], &dir).unwrap();
        let model = adapted.model;
        let logits = model.logits(&batch(&expected, &device), &mut Pass::eval());
        let compared = assert_gradients_of_peft(&expected, &model, logits);
        assert_eq!(compared, 5, "{name}");
    }
}

#[test]
fn a_language_model_becomes_a_classifier_that_can_be_written_and_read() {
    let device = Device::flex();
    // The word table of this folder is stored under the name of the output layer alone.
    let source = tempfile::tempdir().unwrap();
    let raw = common::read_raw(&golden("llama3"));
    let raw: Vec<common::Raw> = raw
        .into_iter()
        .map(|mut tensor| {
            if tensor.name == "model.embed_tokens.weight" {
                tensor.name = "lm_head.weight".into();
            }
            tensor
        })
        .collect();
    common::write_raw(source.path(), &raw);
    let config = golden("llama3").join("config.json");
    std::fs::copy(config, source.path().join("config.json")).unwrap();

    let loaded = load(source.path(), Some(5), &device);
    assert_eq!(loaded.fresh, ["score.weight"]);
    assert_eq!(
        loaded.config.architectures(),
        ["LlamaForSequenceClassification"]
    );
    let rows = CausalBatch::left_padded(&[vec![5, 6, 7], vec![8]], &device).unwrap();
    let before = floats(loaded.model.logits(&rows, &mut Pass::eval()));
    let model = merge(loaded.model).unwrap().into_model();
    let head = named_tensors(&model, &loaded.names, |id| {
        id == peft_core::param_id("score.weight")
    });
    let out = tempfile::tempdir().unwrap();
    save_model(source.path(), out.path(), &loaded.config, &head, None).unwrap();
    let names: Vec<String> = common::read_raw(out.path())
        .into_iter()
        .map(|t| t.name)
        .collect();
    assert!(
        names.contains(&"model.embed_tokens.weight".to_owned()),
        "{names:?}"
    );
    assert!(!names.contains(&"lm_head.weight".to_owned()), "{names:?}");
    let again = load(out.path(), None, &device);
    assert!(again.fresh.is_empty());
    let after = floats(again.model.logits(&rows, &mut Pass::eval()));
    assert_eq!(before, after);
}
