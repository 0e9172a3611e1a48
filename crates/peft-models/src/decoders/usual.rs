//! What most families' configurations say in the same fields.

use peft_core::SiteKind;

use crate::decoder_config::{Biases, DecoderConfig, Scales, d_head};
use crate::error::ModelError;
use crate::hf::ModelConfig;
use crate::layers::{Activation, RopeFields};

/// What stands for fields that a file leaves out: the defaults of the family's class in transformers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Absent {
    /// `tie_word_embeddings`.
    pub tied: bool,
    /// `rope_theta`.
    pub theta: f64,
    /// `rms_norm_eps`.
    pub eps: f64,
    /// `max_position_embeddings`.
    pub max_positions: usize,
    /// `head_dim`, where it is not what the heads divide the width into.
    pub d_head: Option<usize>,
}

/// Those of Llama's.
pub(super) const ABSENT: Absent = Absent {
    tied: false,
    theta: 10_000.0,
    eps: 1e-6,
    max_positions: 2048,
    d_head: None,
};

/// The usual fields: grouped queries, rotary positions in every block, no windows, no norms of queries and keys, no biases, no factors.
///
/// # Errors
/// [`ModelError::Field`] for fields that are missing or malformed, [`ModelError::UnsupportedOption`] for an activation or a scaling of
/// rotary positions that is not here.
pub(super) fn usual(config: &ModelConfig, absent: Absent) -> Result<DecoderConfig, ModelError> {
    let (d_model, heads) = (
        config.positive("hidden_size")?,
        config.positive("num_attention_heads")?,
    );
    let layers = config.layers("num_hidden_layers")?;
    let d_head = match absent.d_head {
        Some(width) if config.present("head_dim").is_none() => width,
        _ => d_head(config, "num_attention_heads", d_model, heads)?,
    };
    let rope = RopeFields::of(config, absent.theta)?.rope(d_head)?;
    let trained = config.usize_or("max_position_embeddings", absent.max_positions)?;
    DecoderConfig {
        vocab_size: config.positive("vocab_size")?,
        d_model,
        layers,
        heads,
        kv_heads: config.usize_or("num_key_value_heads", heads)?.max(1),
        d_head,
        d_ff: config.positive("intermediate_size")?,
        activation: Activation::from_config(config, "hidden_act", "silu")?,
        eps: config.f64_or("rms_norm_eps", absent.eps)?,
        max_positions: rope.reach(trained),
        ropes: vec![rope],
        windows: vec![None; layers],
        rope_of: vec![Some(0); layers],
        biases: Biases {
            projections: false,
            output: false,
            mlp: false,
        },
        query_key_norm: None,
        scales: Scales::usual(d_head),
        attention_cap: None,
        logit_cap: None,
        tied: config.bool_or("tie_word_embeddings", absent.tied)?,
        kind: SiteKind::Linear,
        embedding_dropout: 0.0,
        attention_dropout: config.probability_or("attention_dropout", 0.0)?,
        residual_dropout: 0.0,
        initializer_range: config.f64_or("initializer_range", 0.02)?,
    }
    .checked(config)
}

/// Biases of all projections of attention where `attention_bias` says so, and of the MLP where `mlp_bias` does.
///
/// # Errors
/// [`ModelError::Field`] for what is neither true nor false.
pub(super) fn biases(config: &ModelConfig) -> Result<Biases, ModelError> {
    let attention = config.bool_or("attention_bias", false)?;
    Ok(Biases {
        projections: attention,
        output: attention,
        mlp: config.bool_or("mlp_bias", false)?,
    })
}

/// A factor, or the bound of a soft cap: a number above 0, `absent` where the file lacks the field, none where it is null.
///
/// # Errors
/// [`ModelError::Field`] for anything else.
pub(super) fn cap(
    config: &ModelConfig,
    field: &str,
    absent: Option<f64>,
) -> Result<Option<f64>, ModelError> {
    match config.raw().get(field) {
        None => Ok(absent),
        Some(value) if value.is_null() => Ok(None),
        Some(_) => factor(config, field, 1.0).map(Some),
    }
}

/// A number above 0 that the forward multiplies or divides by.
///
/// # Errors
/// [`ModelError::Field`].
pub(super) fn factor(config: &ModelConfig, field: &str, absent: f64) -> Result<f64, ModelError> {
    let value = config.f64_or(field, absent)?;
    if value.is_finite() && value > 0.0 {
        return Ok(value);
    }
    Err(config.field_error(field, "a number larger than 0"))
}
