//! The language models of Gemma 3 (Gemma Team 2025, arXiv 2503.19786): Gemma 2 with norms of queries and keys in place of bounded scores, and
//! five blocks with a window, whose rotary positions have a base of their own, to each block without.

use crate::decoder_config::{DecoderConfig, DecoderFamily, QueryKeyNorm};
use crate::error::ModelError;
use crate::hf::ModelConfig;
use crate::layers::{Activation, Rope, RopeFields};

use super::gemma::{GEMMA_ABSENT, refuse_both_ways};
use super::gemma2::{GEMMA2, WINDOW, scales};
use super::usual::{Absent, biases, cap, factor, usual};
use super::windows::{sliding, windows};

/// Base of the rotary positions of blocks without a window.
const THETA: f64 = 1_000_000.0;
/// Base of those with one.
const LOCAL_THETA: f64 = 10_000.0;

/// Gemma 3.
pub(crate) static FAMILY: DecoderFamily = GEMMA3;

const GEMMA3: DecoderFamily = DecoderFamily {
    model_types: &["gemma3_text"],
    read,
    ..GEMMA2
};

/// The language model inside Gemma 3 of pictures and texts.
pub(crate) static MULTIMODAL: DecoderFamily = DecoderFamily {
    model_types: &["gemma3"],
    prefix: "model.language_model",
    ..GEMMA3
};

fn read(config: &ModelConfig) -> Result<DecoderConfig, ModelError> {
    refuse_both_ways(config)?;
    config.require(
        "attn_logit_softcapping",
        |_| false,
        "scores without a bound",
    )?;
    let absent = Absent {
        theta: THETA,
        max_positions: 131_072,
        ..GEMMA_ABSENT
    };
    let usual = usual(config, absent)?;
    let pattern = match config.present("sliding_window_pattern") {
        Some(_) => config.positive("sliding_window_pattern")?,
        None => 6,
    };
    let sliding = sliding(config, usual.layers, |index| {
        !(index + 1).is_multiple_of(pattern)
    })?;
    Ok(DecoderConfig {
        activation: Activation::from_config(config, "hidden_activation", "gelu_pytorch_tanh")?,
        windows: windows(config, &sliding, Some(WINDOW))?,
        ropes: ropes(config, usual.d_head)?,
        rope_of: sliding
            .iter()
            .map(|slides| Some(usize::from(*slides)))
            .collect(),
        biases: biases(config)?,
        query_key_norm: Some(QueryKeyNorm::Heads),
        scales: scales(config, &usual)?,
        logit_cap: cap(config, "final_logit_softcapping", None)?,
        ..usual
    })
}

/// The frequencies of blocks without a window, and of those with one, to which a scaling does not apply.
fn ropes(config: &ModelConfig, d_head: usize) -> Result<Vec<Rope>, ModelError> {
    let of_type = |layer_type| RopeFields::of_type(config, layer_type);
    let global = match of_type("full_attention") {
        Some(fields) => fields,
        None => RopeFields::of(config, THETA)?,
    };
    let local = match of_type("sliding_attention") {
        Some(fields) => fields,
        None => RopeFields::unscaled(config, factor(config, "rope_local_base_freq", LOCAL_THETA)?),
    };
    Ok(vec![global.rope(d_head)?, local.rope(d_head)?])
}
