//! The decoder families against the numbers of `transformers` (tools/golden/decoders.py).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{Device, Int, Tensor, TensorData, activation};
use common::{Expected, assert_close, floats, golden};
use peft_core::file::{key, read_folder};
use peft_core::lora::LORA;
use peft_core::{Adaptable, Pass, RowAdapters, folder};
use peft_models::generate::{Constraints, Generation, Progress, Sampling, generate};
use peft_models::{
    CausalBatch, CausalLm, KvCache, Loaded, ModelConfig, Text, causal_lm_sites, load_causal_lm,
};

/// Weights are around 0.3 and hidden states around 1, so this is float noise over two blocks.
const TOLERANCE: f32 = 1e-4;

fn load(name: &str, device: &Device) -> Loaded<CausalLm> {
    let loaded = load_causal_lm(&golden(name), device).unwrap();
    assert!(loaded.fresh.is_empty());
    loaded
}

fn rows(expected: &Expected, name: &str) -> Vec<Vec<u32>> {
    expected.full_rows(name)
}

fn greedy(new: usize) -> Generation {
    Generation {
        max_new_tokens: new,
        sampling: Sampling::GREEDY,
        constraints: Constraints::default(),
        stop_tokens: vec![],
        seed: 0,
    }
}

/// Rows of at most 14 tokens as texts of one segment.
fn texts(rows: &[Vec<u32>]) -> Vec<Text<'_>> {
    let text = rows.iter().map(|ids| Text {
        ids,
        segments: &[1; 14][..ids.len()],
    });
    text.collect()
}

/// Logits of full rows and of padded ones, from a cache too, and the greedy continuation.
fn check(name: &str) {
    let device = Device::flex();
    let expected = Expected::of(name);
    let model = load(name, &device).model;
    let ids = rows(&expected, "input_ids");
    let batch = CausalBatch::left_padded(&ids, &device).unwrap();
    model.decoder.check(&batch).unwrap();
    let config = ModelConfig::read(&golden(name)).unwrap();
    assert_eq!(causal_lm_sites(&config).unwrap(), model.sites());
    let logits = model.logits(&batch, None, &mut Pass::eval());
    assert_close(&floats(logits), &expected.floats("logits"), TOLERANCE);
    check_padded(&model, &expected, &ids);
    // Its positions change after eight tokens: from the part on that goes beyond, logits are those of the whole.
    let same_from = if name == "phi3" { 7 } else { 0 };
    check_parts(&model, &expected, &ids, same_from);

    let answer = generate(&model, &ids[..1], &greedy(12), None, |_, _| {
        Progress::Continue
    });
    assert_eq!(answer.unwrap(), rows(&expected, "greedy"));
}

/// Texts of different lengths, padded on the left, at the end and not at all; the logits of padding are nobody's.
fn check_padded(model: &CausalLm, expected: &Expected, ids: &[Vec<u32>]) {
    let device = Device::flex();
    let missing = [0, 3, 6];
    let short: Vec<Vec<u32>> = ids
        .iter()
        .zip(missing)
        .map(|(row, missing)| row[missing..].to_vec())
        .collect();
    let expected = expected.floats("padded.logits");
    let (row, token) = (expected.len() / 3, expected.len() / 3 / 14);
    for batch in [
        CausalBatch::left_padded(&short, &device),
        CausalBatch::right_padded(&texts(&short), &device),
        CausalBatch::in_one_row(&texts(&short), &device),
    ] {
        let batch = batch.unwrap();
        let logits = floats(model.logits(&batch, None, &mut Pass::eval()));
        for (at, (missing, text)) in missing.into_iter().zip(batch.texts()).enumerate() {
            let own = at * row + missing * token..(at + 1) * row;
            let found = &logits[text.start * token..text.end * token];
            assert_close(found, &expected[own], TOLERANCE);
        }
    }
}

/// The same logits when the rows come in three parts with a cache, from the token `same_from` on.
fn check_parts(model: &CausalLm, expected: &Expected, ids: &[Vec<u32>], same_from: usize) {
    let device = Device::flex();
    let mut cache = KvCache::default();
    let mut parts = Vec::new();
    for range in [0..6, 6..7, 7..14] {
        let part: Vec<Vec<u32>> = ids.iter().map(|row| row[range.clone()].to_vec()).collect();
        let batch = cache.continued(&part, &device).unwrap();
        parts.push(model.logits(&batch, Some(&mut cache), &mut Pass::eval()));
    }
    let logits = Tensor::cat(parts, 1);
    let whole = Tensor::<1>::from_data(&*expected.floats("logits"), &device).reshape(logits.dims());
    let after = |x: Tensor<3>| floats(x.narrow(1, same_from, 14 - same_from));
    assert_close(&after(logits), &after(whole), TOLERANCE);
}

/// With PEFT's adapter: logits, the loss, and the gradient of every tensor of the adapter.
fn check_adapter(name: &str) {
    let device = Device::flex().autodiff();
    let expected = Expected::of(name);
    let loaded = load(name, &device);
    let dir = golden(name).join("adapter");
    let adapted = folder::load(loaded.model, &loaded.names, "a", &[&LORA], &dir).unwrap();
    let model = adapted.model;
    let ids = rows(&expected, "input_ids");
    for batch in [
        CausalBatch::left_padded(&ids, &device),
        CausalBatch::in_one_row(&texts(&ids), &device),
    ] {
        check_gradients(&model, &batch.unwrap(), &expected, &dir);
    }
}

fn check_gradients(model: &CausalLm, batch: &CausalBatch, expected: &Expected, adapter: &Path) {
    let (device, ids) = (batch.ids.device(), rows(expected, "input_ids"));
    let logits = model.logits(batch, None, &mut Pass::eval());
    let vocab = logits.dims()[2];
    let logits = logits.reshape([ids.len(), ids[0].len(), vocab]);
    assert_close(
        &floats(logits.clone()),
        &expected.floats("adapted.logits"),
        TOLERANCE,
    );
    let loss = next_token_loss(logits, &ids, &device);
    assert_close(&floats(loss.clone()), &expected.floats("loss"), 1e-5);
    let grads = loss.backward();
    let mut compared = 0;
    model.visit_linears(&mut |linear| {
        let Some(adapter) = linear.adapter("a") else {
            return;
        };
        let lora: &peft_core::lora::LoraAdapter = adapter.downcast_ref().unwrap();
        for (side, param) in [("lora_A.weight", &lora.a), ("lora_B.weight", &lora.b)] {
            let key = format!("grad.{}", key(&linear.site().path, side));
            let grad = param.val().grad(&grads).unwrap().transpose();
            let wanted = expected.floats(&key);
            let size = wanted.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
            assert_close(&floats(grad), &wanted, 1e-4 * size.max(0.1));
            compared += 1;
        }
    });
    let tensors: BTreeMap<_, _> = read_folder(adapter).unwrap().tensors;
    assert_eq!(compared, tensors.len());
}

fn next_token_loss(logits: Tensor<3>, ids: &[Vec<u32>], device: &Device) -> Tensor<1> {
    let [batch, seq, vocab] = logits.dims();
    let logits = logits
        .narrow(1, 0, seq - 1)
        .reshape([batch * (seq - 1), vocab]);
    let next: Vec<i64> = ids
        .iter()
        .flat_map(|row| row[1..].iter().map(|id| i64::from(*id)))
        .collect();
    let next: Tensor<2, Int> =
        Tensor::from_data(TensorData::new(next, [batch * (seq - 1), 1]), device);
    activation::log_softmax(logits, 1)
        .gather(1, next)
        .mean()
        .neg()
}

macro_rules! families {
    ($($family:ident),+) => {$(
        mod $family {
            #[test]
            fn computes_what_transformers_computes() {
                super::check(stringify!($family));
            }

            #[test]
            fn has_the_gradients_of_peft() {
                super::check_adapter(stringify!($family));
            }
        }
    )+};
}

families!(
    llama, llama3, mistral, qwen2, qwen3, gpt2, gemma, gemma2, gemma3, phi3, smollm3, granite,
    olmo2
);

#[test]
fn gpt2_as_it_was_published_computes_the_same() {
    check("gpt2-bare");
    let loaded = load("gpt2-bare", &Device::flex());
    assert_eq!(loaded.ignored, ["h.0.attn.bias", "h.1.attn.bias"]);
}

#[test]
fn rows_go_through_adapters_of_their_own_and_stop_on_their_own() {
    let device = Device::flex();
    let expected = Expected::of("llama3");
    let loaded = load("llama3", &device);
    let base = loaded.model.clone();
    let dir = golden("llama3").join("adapter");
    let model = folder::load(loaded.model, &loaded.names, "a", &[&LORA], &dir)
        .unwrap()
        .model;
    let ids = rows(&expected, "input_ids");
    let prompts = vec![ids[0].clone(), ids[1][..9].to_vec(), ids[1][..9].to_vec()];
    let alone = |model: &CausalLm, prompt: &Vec<u32>| {
        let prompt = std::slice::from_ref(prompt);
        generate(model, prompt, &greedy(8), None, |_, _| Progress::Continue)
            .unwrap()
            .remove(0)
    };
    let mut wanted = vec![
        alone(&model, &prompts[0]),
        alone(&base, &prompts[1]),
        alone(&model, &prompts[2]),
    ];
    let names = RowAdapters::new(&[Some("a"), None, Some("a")], &device);
    let mut given = vec![Vec::new(); 3];
    let together = generate(&model, &prompts, &greedy(8), Some(&names), |row, token| {
        given[row].push(token);
        if row == 1 && given[row].len() == 3 {
            return Progress::Stop;
        }
        Progress::Continue
    });
    wanted[1].truncate(3);
    assert_eq!(together.unwrap(), wanted);
    assert_eq!(given, wanted);

    let mut stopping = greedy(8);
    stopping.stop_tokens = vec![wanted[0][4]];
    let stopped = generate(&model, &prompts[..1], &stopping, None, |_, _| {
        Progress::Continue
    });
    let first = wanted[0]
        .iter()
        .position(|token| *token == wanted[0][4])
        .unwrap();
    assert_eq!(stopped.unwrap()[0], wanted[0][..first]);
}

#[test]
fn texts_that_share_a_row_do_not_see_each_other() {
    let device = Device::flex();
    let expected = Expected::of("mistral");
    let model = load("mistral", &device).model;
    let ids = rows(&expected, "input_ids");
    let packed = [[&ids[0][..8], &ids[1][..6]].concat()];
    let segments = vec![[vec![1; 8], vec![2; 6]].concat()];
    let batch = CausalBatch::packed(&packed, segments, &device).unwrap();
    let logits = floats(model.logits(&batch, None, &mut Pass::eval()));
    let all = expected.floats("logits");
    let token = all.len() / 3 / 14;
    assert_close(&logits[..8 * token], &all[..8 * token], TOLERANCE);
    let second = &all[14 * token..20 * token];
    assert_close(&logits[8 * token..], second, TOLERANCE);
}

#[test]
fn tokens_and_lengths_that_the_model_does_not_have_are_refused() {
    let model = load("gpt2", &Device::flex()).model;
    let refused = |prompt: Vec<u32>, new| {
        generate(&model, &[prompt], &greedy(new), None, |_, _| {
            Progress::Continue
        })
        .unwrap_err()
        .to_string()
    };
    assert!(refused(vec![97], 1).contains("token id 97"));
    assert!(refused(vec![5; 60], 5).contains("length of prompt and answer 65"));
    assert!(refused(vec![], 5).contains("no tokens"));
}
