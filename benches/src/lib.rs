//! What the benchmarks share: a model of MiniLM's shape with fixed random weights, adapters for it, and a batch.
//!
//! Layers, width, heads and feed-forward width are those of `all-MiniLM-L6-v2` (6, 384, 12, 1536). Only the
//! vocabulary is smaller, which no matrix product sees.
#![allow(
    clippy::missing_panics_doc,
    reason = "fixtures of benches: a panic is the report"
)]

pub mod methods;
pub mod pool;

use std::path::Path;

use burn::tensor::Device;
use peft_core::lora::LORA;
use peft_core::target::{Target, TargetRules};
use peft_core::{AdapterSpec, attach};
use peft_models::{Loaded, ModelConfig, SequenceClassifier, TokenBatch, init_classifier};
use serde_json::{Map, json};

/// Name of the adapter in every benchmark.
pub const ADAPTER: &str = "default";
/// Sequences of the batch.
pub const ROWS: usize = 8;
/// Tokens of each sequence.
pub const TOKENS: usize = 32;

const VOCABULARY: u32 = 2048;
const SEED: u64 = 1;

/// What carries an adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Adapted {
    /// Nothing: the base model.
    Nothing,
    /// LoRA on the query and value projections.
    QueryValue,
    /// LoRA on every linear layer but the classifier.
    AllLinear,
}

impl Adapted {
    /// All three, the base first.
    pub const ALL: [Self; 3] = [Self::Nothing, Self::QueryValue, Self::AllLinear];
    /// Those with an adapter.
    pub const WITH_ADAPTER: [Self; 2] = [Self::QueryValue, Self::AllLinear];

    /// Name in benchmark reports.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Nothing => "base",
            Self::QueryValue => "lora-query-value",
            Self::AllLinear => "lora-all-linear",
        }
    }

    /// Rank 8, alpha 16 on the targets; `None` for the base.
    #[must_use]
    pub fn spec(self) -> Option<AdapterSpec> {
        let targets = match self {
            Self::Nothing => return None,
            Self::QueryValue => TargetRules::list(["query", "value"]),
            Self::AllLinear => TargetRules::new(Target::AllLinear),
        };
        Some(AdapterSpec {
            method: (LORA.from_options)(&Map::new()).expect("the defaults are valid"),
            rank: 8,
            alpha: 16.0,
            targets,
            task_type: Some("SEQ_CLS".into()),
            ..AdapterSpec::default()
        })
    }

    /// The model with this adapter attached, as it starts.
    #[must_use]
    pub fn attach_to(self, base: Loaded<SequenceClassifier>) -> SequenceClassifier {
        match self.spec() {
            None => base.model,
            Some(spec) => {
                attach(base.model, &base.names, ADAPTER, &spec, SEED)
                    .expect("the targets exist")
                    .0
            }
        }
    }
}

/// The base model with fresh weights, the same in every run.
#[must_use]
pub fn base(device: &Device) -> Loaded<SequenceClassifier> {
    let config = json!({
        "architectures": ["BertForSequenceClassification"],
        "model_type": "bert",
        "vocab_size": VOCABULARY,
        "hidden_size": 384,
        "num_hidden_layers": 6,
        "num_attention_heads": 12,
        "intermediate_size": 1536,
        "hidden_act": "gelu",
        "max_position_embeddings": 512,
        "type_vocab_size": 2,
        "layer_norm_eps": 1e-12,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "initializer_range": 0.02,
        "pad_token_id": 0,
    });
    let config = ModelConfig::parse(Path::new("config.json"), &config.to_string())
        .expect("the configuration is complete");
    init_classifier(config, SEED, device).expect("BERT is supported")
}

/// A batch of [`ROWS`] sequences of [`TOKENS`] tokens without padding.
#[must_use]
pub fn batch(device: &Device) -> TokenBatch {
    batch_of(ROWS, TOKENS, device)
}

/// A batch of `rows` sequences of `tokens` tokens without padding.
#[must_use]
pub fn batch_of(rows: usize, tokens: usize, device: &Device) -> TokenBatch {
    let token = |row: usize, column: usize| (row * 131 + column * 29) as u32 % VOCABULARY;
    let rows: Vec<Vec<u32>> = (0..rows)
        .map(|row| (0..tokens).map(|column| token(row, column)).collect())
        .collect();
    TokenBatch::new(&rows, None, 0, device).expect("every row has tokens")
}
