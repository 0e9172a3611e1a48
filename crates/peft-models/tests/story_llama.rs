//! The real TinyStories-656K against the numbers of `transformers` (tools/golden/story_llama.py), when a copy is at hand.
//!
//! The data folder comes from `PEFT_DATA`, or is `../shared/data` beside the project. The model's file holds its tied table only as
//! `lm_head.weight`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stderr, reason = "a skipped test says so")]

mod common;

use std::path::PathBuf;

use burn::tensor::Device;
use common::{Expected, assert_close, floats};
use peft_core::Pass;
use peft_core::testing::outside::data;
use peft_models::generate::{Constraints, Generation, Progress, Sampling, generate};
use peft_models::{CausalBatch, load_causal_lm};

fn folder() -> Option<PathBuf> {
    data("models/story-llama-0.65m")
}

#[test]
fn logits_and_a_hundred_greedy_tokens_are_those_of_transformers() {
    let Some(folder) = folder() else {
        return;
    };
    let device = Device::flex();
    let loaded = load_causal_lm(&folder, &device).unwrap();
    assert!(loaded.fresh.is_empty() && loaded.ignored.is_empty());
    let model = loaded.model;
    assert!(model.head.is_none(), "the head is the table of words");
    let expected = Expected::of("story-llama");
    for text in 0..20 {
        let ids = expected.full_rows(&format!("ids.{text}"));
        let batch = CausalBatch::left_padded(&ids, &device).unwrap();
        let logits = model.logits(&batch, None, &mut Pass::eval());
        let last = logits.narrow(1, batch.ids.dims()[1] - 1, 1);
        let expected = expected.floats(&format!("logits.{text}"));
        assert_close(&floats(last), &expected, 1e-4);
    }
    let prompt = expected.full_rows("ids.0");
    let options = Generation {
        max_new_tokens: 100,
        sampling: Sampling::GREEDY,
        constraints: Constraints::default(),
        stop_tokens: vec![],
        seed: 0,
    };
    let answer = generate(&model, &prompt, &options, None, |_, _| Progress::Continue).unwrap();
    assert_eq!(answer, expected.full_rows("greedy"));
}
