//! How much memory a training run holds: an estimate, by these formulas.
//!
//! Every value is a 32-bit float, 4 bytes. With `P` base parameters, `A` adapter parameters, `T` that train:
//!
//! - weights `4 P`, adapter `4 A`, gradients `4 T`, AdamW's two moments `8 T`;
//! - activations: what the backward pass needs of the blocks that gradients pass through, for a batch of `b`
//!   sequences of `s` tokens, width `d`, inner width `f`, `h` heads:
//!   `4 * blocks * (b s (ROW_D d + ROW_F f) + SCORES b h s^2)`.
//!
//! With gradient checkpointing the blocks' inputs are kept and the insides of one: `4 * (blocks b s d + one block)`.
//!
//! A language model's loss keeps `LOGITS b s v` more for a vocabulary of `v`: logits, their logarithms, and the gradient.
//!
//! `ROW_D`, `ROW_F` and `SCORES` were fitted to the growth of a process's peak memory with the batch: a BERT of 6
//! layers, `d = 384`, `f = 4 d`, `h = 12`, dropout 0.1, on the CPU backend, 16 to 256 tokens. Measured were `14 d`
//! (query and value adapted) to `20 d` (every layer adapted) per token, where the formula has `16 d`, and
//! `3.9 h s` for the scores; together the formula is within 15 % of these measurements. Without dropout less is kept.
//!
//! Not counted: the program itself, the data, buffers that live for one operation, and memory that the allocator
//! keeps. A real run therefore needs more; the estimate is for comparing settings and for a first guess.

use std::fmt;

use peft_models::{CausalLm, DecoderClassifier};
use serde::Serialize;

use crate::any_model::AnyModel;
use crate::settings::{RunConfig, USUAL_LENGTH};

/// Bytes of a value.
const BYTES: u64 = 4;
/// Tensors of `[rows, d]` that a block keeps.
const ROW_D: u64 = 12;
/// Tensors of `[rows, d_ff]` that a block keeps.
const ROW_F: u64 = 1;
/// Tensors of `[batch, heads, seq, seq]` that a block keeps.
const SCORES: u64 = 4;

/// Tensors of `[rows, vocabulary]` that a language model's loss keeps.
const LOGITS: u64 = 3;

/// The sizes that decide how much the backward pass keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Activations {
    /// Blocks that gradients pass through.
    pub blocks: usize,
    /// Sequences of a batch.
    pub batch: usize,
    /// Tokens of the longest sequence.
    pub length: usize,
    /// Width of the hidden states.
    pub d_model: usize,
    /// Width inside the MLP.
    pub d_ff: usize,
    /// Attention heads.
    pub heads: usize,
    /// Whether blocks are computed again, so that only their inputs and the insides of one are kept.
    pub recomputed: bool,
    /// Outputs per token of a language model; 0 for a classifier, whose logits are few.
    pub vocabulary: usize,
}

impl Activations {
    /// The largest batch of the run `config`, through every block of the model.
    pub fn of(model: &AnyModel, config: &RunConfig) -> Self {
        let cut = config.data.max_length.unwrap_or(USUAL_LENGTH);
        let (layers, d_model, d_ff, heads, vocabulary, length) = match model {
            AnyModel::Classifier(model) => {
                let sizes = model.encoder.config();
                let (d_model, d_ff, heads) = (sizes.d_model, sizes.d_ff, sizes.heads);
                let length = cut.min(sizes.max_length());
                (sizes.layers, d_model, d_ff, heads, 0, length)
            }
            AnyModel::Causal(CausalLm { decoder, .. })
            | AnyModel::DecoderTexts(DecoderClassifier { decoder, .. }) => {
                let sizes = decoder.config();
                // A gated MLP keeps its gate, before and after the nonlinearity, beside what others keep.
                let gates = if sizes.ropes.is_empty() { 1 } else { 3 };
                let (d_model, d_ff, heads) = (sizes.d_model, gates * sizes.d_ff, sizes.heads);
                let vocabulary = match model {
                    AnyModel::Causal(_) => sizes.vocab_size,
                    _ => 0,
                };
                let length = cut.min(sizes.max_positions);
                (sizes.layers, d_model, d_ff, heads, vocabulary, length)
            }
            AnyModel::Images(model) => {
                let sizes = model.config();
                let (d_model, d_ff, heads) = (sizes.d_model, sizes.d_ff, sizes.heads);
                (sizes.layers, d_model, d_ff, heads, 0, sizes.tokens())
            }
        };
        let limit = config
            .train
            .max_tokens
            .map_or(usize::MAX, |tokens| (tokens / length.max(1)).max(1));
        Self {
            blocks: layers,
            batch: config.train.batch_size.min(limit),
            length,
            d_model,
            d_ff,
            heads,
            vocabulary,
            recomputed: config.train.gradient_checkpointing,
        }
    }

    /// In floating point, where no setting is too large.
    fn bytes(&self) -> u64 {
        let [blocks, batch, length, d, f, heads, vocabulary] = [
            self.blocks,
            self.batch,
            self.length,
            self.d_model,
            self.d_ff,
            self.heads,
            self.vocabulary,
        ]
        .map(|size| size as f64);
        let [row_d, row_f, per_score, per_logit, bytes] =
            [ROW_D, ROW_F, SCORES, LOGITS, BYTES].map(|count| count as f64);
        let rows = batch * length * (row_d * d + row_f * f);
        let scores = per_score * batch * heads * length * length;
        let logits = per_logit * batch * length * vocabulary;
        let block = rows + scores;
        let blocks = match self.recomputed && self.blocks > 0 {
            true => blocks * batch * length * d + block,
            false => blocks * block,
        };
        (bytes * (blocks + logits)) as u64
    }
}

/// Bytes by purpose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MemoryEstimate {
    /// Weights of the base model.
    pub weights: u64,
    /// Weights of the adapter.
    pub adapter: u64,
    /// Gradients of what trains.
    pub gradients: u64,
    /// AdamW's two moments of what trains.
    pub moments: u64,
    /// What the backward pass keeps.
    pub activations: u64,
    /// All of it.
    pub total: u64,
    /// Sequences of the batch.
    pub batch_size: usize,
    /// Tokens of its longest sequence.
    pub length: usize,
    /// The figures are an estimate, not a measurement.
    pub estimate: bool,
}

impl MemoryEstimate {
    /// The estimate for `base` and `adapter` parameters of which `trainable` train.
    pub fn new(base: usize, adapter: usize, trainable: usize, activations: &Activations) -> Self {
        let bytes = |count: usize| BYTES * count as u64;
        let parts = [
            bytes(base),
            bytes(adapter),
            bytes(trainable),
            2 * bytes(trainable),
            activations.bytes(),
        ];
        let [weights, adapter, gradients, moments, kept] = parts;
        Self {
            weights,
            adapter,
            gradients,
            moments,
            activations: kept,
            total: parts.into_iter().fold(0, u64::saturating_add),
            batch_size: activations.batch,
            length: activations.length,
            estimate: true,
        }
    }
}

impl fmt::Display for MemoryEstimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "memory, estimated for batches of {} x {} tokens (a run needs more: program, data, short-lived buffers):",
            self.batch_size, self.length
        )?;
        let parts = [
            ("weights", self.weights),
            ("adapter", self.adapter),
            ("gradients", self.gradients),
            ("moments", self.moments),
            ("activations", self.activations),
            ("total", self.total),
        ];
        let line = |(name, bytes): (&str, u64)| {
            format!("  {name:<12}{:>10.1} MiB", bytes as f64 / 1_048_576.0)
        };
        f.write_str(&parts.map(line).join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Activations = Activations {
        blocks: 2,
        batch: 3,
        length: 5,
        d_model: 8,
        d_ff: 32,
        heads: 2,
        vocabulary: 7,
        recomputed: false,
    };

    #[test]
    fn every_part_follows_its_formula_and_the_total_is_their_sum() {
        let estimate = MemoryEstimate::new(1000, 100, 110, &SMALL);
        assert_eq!((estimate.weights, estimate.adapter), (4000, 400));
        assert_eq!((estimate.gradients, estimate.moments), (440, 880));
        let rows = 15 * (ROW_D * 8 + ROW_F * 32);
        let scores = SCORES * 3 * 2 * 25;
        let logits = LOGITS * 15 * 7;
        assert_eq!(estimate.activations, 4 * (2 * (rows + scores) + logits));
        let again = Activations {
            recomputed: true,
            ..SMALL
        };
        let again = MemoryEstimate::new(1000, 100, 110, &again);
        let inputs = 2 * 15 * 8;
        assert_eq!(again.activations, 4 * (inputs + rows + scores + logits));
        assert_eq!(
            estimate.total,
            4000 + 400 + 440 + 880 + estimate.activations
        );
    }

    #[test]
    fn a_token_limit_makes_the_batch_smaller_and_a_frozen_encoder_keeps_nothing() {
        let text = r#"{"model_type":"bert","vocab_size":9,"hidden_size":8,"num_hidden_layers":2,"num_attention_heads":2,
            "hidden_act":"gelu","intermediate_size":32,"max_position_embeddings":40,"type_vocab_size":2}"#;
        let raw =
            peft_models::ModelConfig::parse(std::path::Path::new("config.json"), text).unwrap();
        let device = burn::tensor::Device::default();
        let model = peft_models::init_classifier(raw, 1, &device).unwrap().model;
        let model = AnyModel::Classifier(model);
        let mut config = RunConfig::default();
        assert_eq!(Activations::of(&model, &config).length, 40);
        config.train.max_tokens = Some(80);
        assert_eq!(Activations::of(&model, &config).batch, 2);
        let frozen = Activations {
            blocks: 0,
            vocabulary: 0,
            ..SMALL
        };
        assert_eq!(MemoryEstimate::new(1, 0, 0, &frozen).activations, 0);
    }
}
