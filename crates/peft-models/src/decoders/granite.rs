//! Granite (IBM 2024, arXiv 2405.04324, with the factors of Power, arXiv 2408.13359): Llama with constant factors of embeddings, scores, residuals and
//! logits.

use crate::decoder_config::{DecoderConfig, DecoderFamily, Scales};
use crate::error::ModelError;
use crate::hf::ModelConfig;

use super::llama::LLAMA;
use super::usual::{ABSENT, biases, factor, usual};

/// Granite without experts.
pub(crate) static FAMILY: DecoderFamily = DecoderFamily {
    model_types: &["granite"],
    read,
    ..LLAMA
};

fn read(config: &ModelConfig) -> Result<DecoderConfig, ModelError> {
    Ok(DecoderConfig {
        biases: biases(config)?,
        scales: Scales {
            embeddings: factor(config, "embedding_multiplier", 1.0)?,
            attention: factor(config, "attention_multiplier", 1.0)?,
            residual: factor(config, "residual_multiplier", 1.0)?,
            logits: 1.0 / factor(config, "logits_scaling", 1.0)?,
        },
        ..usual(config, ABSENT)?
    })
}
