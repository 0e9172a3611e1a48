//! The real all-MiniLM-L6-v2 against the numbers of `transformers` 5.23, when a copy is at hand.
//!
//! The folder comes from `PEFT_MINILM`, or is `target/minilm` of the workspace.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stderr, reason = "a skipped test says so")]

mod common;

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use common::{assert_close, floats};
use peft_core::testing::outside::present;
use peft_core::{Adaptable, Pass};
use peft_models::{Pooling, TokenBatch, l2_normalized, load_classifier, load_encoder};

fn folder() -> Option<PathBuf> {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/minilm");
    let folder = std::env::var_os("PEFT_MINILM").map_or_else(default, PathBuf::from);
    let weights = present(folder.join("model.safetensors"))?;
    weights.parent().map(Path::to_owned)
}

/// "A man is eating food.", "Somebody eats a meal.", "The stock market fell sharply today."
fn sentences() -> [Vec<u32>; 3] {
    [
        vec![101, 1037, 2158, 2003, 5983, 2833, 1012, 102],
        vec![101, 8307, 20323, 1037, 7954, 1012, 102],
        vec![101, 1996, 4518, 3006, 3062, 9249, 2651, 1012, 102],
    ]
}

#[test]
fn sentence_embeddings_are_those_of_transformers() {
    let Some(folder) = folder() else {
        return;
    };
    let device = Device::flex();
    let loaded = load_encoder(&folder, &device).unwrap();
    let batch = TokenBatch::new(&sentences(), None, 0, &device).unwrap();
    let hidden = loaded.model.hidden(&batch, &mut Pass::eval());
    let first = floats(
        hidden
            .clone()
            .narrow(0, 1, 1)
            .narrow(1, 0, 1)
            .narrow(2, 0, 6),
    );
    let expected = [
        -0.066_342,
        0.131_066,
        0.003_354_7,
        0.084_132,
        -0.299_856,
        -0.223_637,
    ];
    assert_close(&first, &expected, 1e-4);

    let mean = l2_normalized(Pooling::Mean.forward(hidden, &batch));
    let expected = [
        [
            0.033_242, 0.004_406, -0.006_277, 0.048_379, -0.138_702, -0.033_617,
        ],
        [
            0.001_832, 0.032_89, -0.013_203, 0.003_258, -0.103_259, -0.046_046,
        ],
        [
            0.060_455, 0.005_445, 0.076_566, 0.053_83, -0.014_793, -0.006_096,
        ],
    ];
    assert_close(
        &floats(mean.clone().narrow(1, 0, 6)),
        expected.as_flattened(),
        1e-4,
    );
    let cosine = floats(mean.clone().matmul(mean.transpose()));
    assert_close(&cosine[1..3], &[0.741_332, 0.003_728], 1e-4);
}

#[test]
fn a_classifier_on_top_has_every_site_and_a_fresh_head() {
    let Some(folder) = folder() else {
        return;
    };
    let device = Device::flex();
    let loaded = load_classifier(&folder, Some(2), 1, &device).unwrap();
    assert_eq!(loaded.model.sites().len(), 3 + 6 * 6 + 2);
    assert_eq!(loaded.fresh, ["classifier.bias", "classifier.weight"]);
    let batch = TokenBatch::new(&sentences(), None, 0, &device).unwrap();
    let logits = floats(loaded.model.logits(&batch, &mut Pass::eval()));
    assert_eq!(logits.len(), 6);
    assert!(logits.iter().all(|value| value.is_finite()));
}

/// The file is made by `tools/golden/minilm.py`.
#[test]
fn hidden_states_of_fifty_real_sentences_are_those_of_transformers() {
    let Some(folder) = folder() else {
        return;
    };
    let file = folder.join("golden.safetensors");
    if !file.is_file() {
        eprintln!("SKIPPED: no {}; see tools/golden/minilm.py", file.display());
        return;
    }
    let golden = peft_core::file::read_tensors(&file).unwrap();
    let [rows, seq, width] = golden["last_hidden_state"].shape[..] else {
        panic!("hidden states have three axes");
    };
    let cells = |name: &str, row: usize| golden[name].data[row * seq..(row + 1) * seq].to_vec();
    let length = |row: usize| {
        cells("mask", row)
            .iter()
            .filter(|cell| **cell > 0.5)
            .count()
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "token ids are small whole numbers"
    )]
    let ids: Vec<Vec<u32>> = (0..rows)
        .map(|row| {
            cells("ids", row)[..length(row)]
                .iter()
                .map(|id| *id as u32)
                .collect()
        })
        .collect();
    let device = Device::flex();
    let model = load_encoder(&folder, &device).unwrap().model;
    let batch = TokenBatch::new(&ids, None, 0, &device).unwrap();
    let hidden = floats(model.hidden(&batch, &mut Pass::eval()));
    assert_eq!(rows, 50);
    for row in 0..rows {
        // Rows of padding mean nothing.
        let part = row * seq * width..(row * seq + length(row)) * width;
        assert_close(
            &hidden[part.clone()],
            &golden["last_hidden_state"].data[part],
            1e-4,
        );
    }
}
