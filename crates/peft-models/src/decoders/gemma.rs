//! Gemma (Gemma Team 2024, arXiv 2403.08295): Llama's block with wide heads, a GELU, norms whose files hold the scale less 1, and embeddings
//! times the root of their width.
//!
//! The root is not rounded to the type of the file, as transformers round it for models in bf16.

use serde_json::Value;

use crate::decoder_config::{DecoderConfig, DecoderFamily, NormKind, Scales};
use crate::error::ModelError;
use crate::hf::ModelConfig;
use crate::layers::Activation;

use super::llama::LLAMA;
use super::usual::{ABSENT, Absent, biases, usual};

/// What the classes of all Gemmas take for fields that are not there.
pub(super) const GEMMA_ABSENT: Absent = Absent {
    tied: true,
    max_positions: 8192,
    d_head: Some(256),
    ..ABSENT
};

/// Gemma.
pub(crate) static FAMILY: DecoderFamily = DecoderFamily {
    model_types: &["gemma"],
    norms: NormKind::RmsFromOne,
    read,
    ..LLAMA
};

fn read(config: &ModelConfig) -> Result<DecoderConfig, ModelError> {
    refuse_both_ways(config)?;
    let activation = match config.present("hidden_activation") {
        Some(_) => Activation::from_config(config, "hidden_activation", "")?,
        // The first files say "gelu" and mean its approximation.
        None => match Activation::from_config(config, "hidden_act", "gelu_pytorch_tanh")? {
            Activation::Gelu => Activation::GeluTanh,
            other => other,
        },
    };
    let usual = usual(config, GEMMA_ABSENT)?;
    Ok(DecoderConfig {
        activation,
        biases: biases(config)?,
        scales: Scales {
            embeddings: root_of_width(&usual),
            ..usual.scales
        },
        ..usual
    })
}

/// What embeddings are multiplied by.
pub(super) fn root_of_width(config: &DecoderConfig) -> f64 {
    (config.d_model as f64).sqrt()
}

/// Refuses models whose tokens see those behind them.
pub(super) fn refuse_both_ways(config: &ModelConfig) -> Result<(), ModelError> {
    config.require(
        "use_bidirectional_attention",
        |value| *value == Value::Bool(false),
        "false",
    )
}
