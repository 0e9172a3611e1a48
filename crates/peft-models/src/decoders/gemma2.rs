//! Gemma 2 (Gemma Team 2024, arXiv 2408.00118): Gemma with norms after attention and MLP too, bounded scores and logits, and a window in every
//! other block.

use crate::decoder_config::{
    DecoderBlockNames, DecoderConfig, DecoderFamily, NormKind, Norms, Scales,
};
use crate::error::ModelError;
use crate::hf::ModelConfig;
use crate::layers::Activation;

use super::gemma::{GEMMA_ABSENT, refuse_both_ways, root_of_width};
use super::llama::{BLOCK, LLAMA};
use super::usual::{biases, cap, factor, usual};
use super::windows::{sliding, windows};

/// Names of a block's layers.
const GEMMA_BLOCK: DecoderBlockNames = DecoderBlockNames {
    attention_norms: Norms {
        before: Some("input_layernorm"),
        after: Some("post_attention_layernorm"),
    },
    mlp_norms: Norms {
        before: Some("pre_feedforward_layernorm"),
        after: Some("post_feedforward_layernorm"),
    },
    ..BLOCK
};

/// The window of files that do not say.
pub(super) const WINDOW: usize = 4096;

/// Gemma 2.
pub(super) const GEMMA2: DecoderFamily = DecoderFamily {
    model_types: &["gemma2"],
    block: GEMMA_BLOCK,
    norms: NormKind::RmsFromOne,
    read,
    ..LLAMA
};

/// See [`GEMMA2`].
pub(crate) static FAMILY: DecoderFamily = GEMMA2;

fn read(config: &ModelConfig) -> Result<DecoderConfig, ModelError> {
    refuse_both_ways(config)?;
    let usual = usual(config, GEMMA_ABSENT)?;
    let sliding = sliding(config, usual.layers, |index| index.is_multiple_of(2))?;
    Ok(DecoderConfig {
        activation: Activation::from_config(config, "hidden_activation", "gelu_pytorch_tanh")?,
        windows: windows(config, &sliding, Some(WINDOW))?,
        biases: biases(config)?,
        scales: scales(config, &usual)?,
        attention_cap: cap(config, "attn_logit_softcapping", Some(50.0))?,
        logit_cap: cap(config, "final_logit_softcapping", Some(30.0))?,
        ..usual
    })
}

/// Embeddings times the root of their width; scores divided by that of `query_pre_attn_scalar`.
pub(super) fn scales(config: &ModelConfig, usual: &DecoderConfig) -> Result<Scales, ModelError> {
    Ok(Scales {
        embeddings: root_of_width(usual),
        attention: 1.0 / factor(config, "query_pre_attn_scalar", 256.0)?.sqrt(),
        ..usual.scales
    })
}
