//! The families against the numbers of `transformers` (tools/golden/encoders.py).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use burn::tensor::Device;
use common::{Expected, assert_close, floats, golden};
use peft_core::{Adaptable, Pass};
use peft_models::{Pooling, TokenBatch, load_classifier, load_encoder};

/// Weights are around 0.3 and hidden states around 1, so this is float noise over two blocks.
const TOLERANCE: f32 = 1e-4;

fn check_classifier(name: &str, pad_id: u32) {
    let device = Device::flex();
    let expected = Expected::of(name);
    let loaded = load_classifier(&golden(name), None, 0, &device).unwrap();
    assert_eq!(loaded.config.num_labels(), 3);
    assert!(loaded.fresh.is_empty() && loaded.ignored.is_empty());
    let batch = expected.batch(pad_id, &device);
    loaded.model.encoder.check(&batch).unwrap();
    assert!(batch.mask.is_some(), "the golden batch is padded");
    let hidden = loaded.model.hidden(&batch, &mut Pass::eval());
    assert_close(
        &floats(hidden.clone()),
        &expected.floats("last_hidden_state"),
        TOLERANCE,
    );
    let mean = Pooling::Mean.forward(hidden.clone(), &batch);
    assert_close(&floats(mean), &expected.floats("mean_embedding"), TOLERANCE);
    let cls = Pooling::Cls.forward(hidden, &batch);
    assert_close(&floats(cls), &expected.floats("cls_embedding"), TOLERANCE);
    let logits = loaded.model.logits(&batch, &mut Pass::eval());
    assert_eq!(logits.dims(), [4, 3]);
    assert_close(&floats(logits), &expected.floats("logits"), TOLERANCE);
}

#[test]
fn bert_computes_what_transformers_computes() {
    check_classifier("bert", 0);
}

#[test]
fn roberta_computes_what_transformers_computes() {
    check_classifier("roberta", 1);
}

#[test]
fn distilbert_computes_what_transformers_computes() {
    check_classifier("distilbert", 0);
}

#[test]
fn a_classifier_in_two_bf16_shards_computes_what_transformers_computes() {
    check_classifier("bert-sharded", 0);
}

#[test]
fn a_bare_f16_encoder_computes_what_transformers_computes() {
    let device = Device::flex();
    let expected = Expected::of("bert-bare");
    let loaded = load_encoder(&golden("bert-bare"), &device).unwrap();
    assert_eq!(
        loaded.ignored,
        [
            "embeddings.position_ids",
            "pooler.dense.bias",
            "pooler.dense.weight"
        ]
    );
    assert_eq!(
        loaded.model.sites()[3].path,
        "encoder.layer.0.attention.self.query",
        "after the three tables of the embeddings"
    );
    let batch = expected.batch(0, &device);
    let hidden = loaded.model.hidden(&batch, &mut Pass::eval());
    assert_close(
        &floats(hidden),
        &expected.floats("last_hidden_state"),
        TOLERANCE,
    );
}

#[test]
fn a_classifier_reads_a_bare_encoder_and_an_encoder_reads_a_classifier() {
    let device = Device::flex();
    let expected = Expected::of("bert-bare");
    let loaded = load_classifier(&golden("bert-bare"), None, 0, &device).unwrap();
    assert_eq!(loaded.fresh, ["classifier.bias", "classifier.weight"]);
    assert_eq!(
        loaded.head_modules(),
        ["classifier"],
        "the pooler is in the file"
    );
    assert_eq!(
        loaded.model.sites()[3].path,
        "bert.encoder.layer.0.attention.self.query",
        "after the three tables of the embeddings"
    );
    let batch = expected.batch(0, &device);
    let hidden = loaded.model.hidden(&batch, &mut Pass::eval());
    assert_close(
        &floats(hidden),
        &expected.floats("last_hidden_state"),
        TOLERANCE,
    );

    let expected = Expected::of("distilbert");
    let loaded = load_encoder(&golden("distilbert"), &device).unwrap();
    assert_eq!(
        loaded.model.sites()[2].path,
        "transformer.layer.0.attention.q_lin"
    );
    let hidden = loaded
        .model
        .hidden(&expected.batch(0, &device), &mut Pass::eval());
    assert_close(
        &floats(hidden),
        &expected.floats("last_hidden_state"),
        TOLERANCE,
    );
}

#[test]
fn padding_changes_no_real_token() {
    let device = Device::flex();
    for (name, pad_id) in [("bert", 0), ("roberta", 1), ("distilbert", 0)] {
        let rows = Expected::of(name).rows("input_ids");
        let model = load_encoder(&golden(name), &device).unwrap().model;
        let hidden = |rows: &[Vec<u32>]| {
            let batch = TokenBatch::new(rows, None, pad_id, &device).unwrap();
            model.hidden(&batch, &mut Pass::eval())
        };
        let together = hidden(&rows);
        for (index, row) in rows.iter().enumerate() {
            let alone = hidden(std::slice::from_ref(row));
            let padded = together.clone().narrow(0, index, 1).narrow(1, 0, row.len());
            assert_close(&floats(padded), &floats(alone), 1e-5);
        }
    }
}

#[test]
fn the_sites_are_the_embeddings_and_linear_layers_in_the_order_of_the_forward_pass() {
    let device = Device::flex();
    let paths = |name: &str| -> Vec<String> {
        let model = load_classifier(&golden(name), None, 0, &device)
            .unwrap()
            .model;
        model.sites().into_iter().map(|site| site.path).collect()
    };
    let bert = paths("bert");
    assert_eq!(bert.len(), 3 + 2 * 6 + 2);
    let tables = [
        "word_embeddings",
        "position_embeddings",
        "token_type_embeddings",
    ];
    assert_eq!(
        bert[..3],
        tables.map(|table| format!("bert.embeddings.{table}"))
    );
    assert_eq!(bert[7], "bert.encoder.layer.0.intermediate.dense");
    assert_eq!(bert[15..], ["bert.pooler.dense", "classifier"]);
    assert_eq!(
        paths("roberta")[15..],
        ["classifier.dense", "classifier.out_proj"]
    );
    let distilbert = paths("distilbert");
    assert_eq!(
        distilbert[5],
        "distilbert.transformer.layer.0.attention.out_lin"
    );
    assert_eq!(distilbert[14..], ["pre_classifier", "classifier"]);
}
