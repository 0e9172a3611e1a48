//! What the encoder families have in common: sizes, options and names, as data.

use crate::decoder_config::DecoderFamily;
use crate::error::ModelError;
use crate::hf::ModelConfig;
use crate::kind::unsupported;
use crate::layers::{Activation, BlockNames, EmbeddingNames};
use crate::{bert, distilbert, roberta};

/// How positions are numbered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbering {
    /// 0, 1, 2, ...
    FromZero,
    /// RoBERTa: from `pad_id + 1`, padding keeps `pad_id`.
    AfterPadding {
        /// Token id of padding.
        pad_id: usize,
    },
}

/// Sizes and options of an encoder, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct EncoderConfig {
    /// Rows of the word table.
    pub vocab_size: usize,
    /// Width of the hidden states.
    pub d_model: usize,
    /// Number of blocks.
    pub layers: usize,
    /// Attention heads; divides `d_model`.
    pub heads: usize,
    /// Width inside the MLP.
    pub d_ff: usize,
    /// Nonlinearity of the MLP.
    pub activation: Activation,
    /// Rows of the position table.
    pub max_positions: usize,
    /// Rows of the token type table, 0 in families that have none.
    pub token_types: usize,
    /// How positions are numbered.
    pub numbering: Numbering,
    /// Epsilon of the layer norms.
    pub eps: f64,
    /// Dropout after embeddings and MLP.
    pub hidden_dropout: f64,
    /// Dropout of attention weights.
    pub attention_dropout: f64,
    /// Dropout after the attention's output projection.
    pub attention_output_dropout: f64,
    /// Dropout of the classification head.
    pub classifier_dropout: f64,
    /// Token id of padding.
    pub pad_id: usize,
    /// Standard deviation of fresh weights.
    pub initializer_range: f64,
}

impl EncoderConfig {
    /// Longest sequence the position table can number.
    #[must_use]
    pub fn max_length(&self) -> usize {
        match self.numbering {
            Numbering::FromZero => self.max_positions,
            Numbering::AfterPadding { pad_id } => self.max_positions.saturating_sub(pad_id + 1),
        }
    }

    /// Checks what the fields must satisfy together.
    pub(crate) fn checked(
        self,
        config: &ModelConfig,
        heads_field: &'static str,
    ) -> Result<Self, ModelError> {
        if !self.d_model.is_multiple_of(self.heads) {
            return Err(ModelError::Field {
                path: config.path().to_path_buf(),
                field: heads_field.to_owned(),
                expected: "a divisor of the hidden size",
                found: format!("{} heads for a hidden size of {}", self.heads, self.d_model),
            });
        }
        if self.pad_id >= self.vocab_size {
            return Err(ModelError::Field {
                path: config.path().to_path_buf(),
                field: "pad_token_id".to_owned(),
                expected: "an id below vocab_size",
                found: format!("{} of {}", self.pad_id, self.vocab_size),
            });
        }
        Ok(self)
    }
}

/// A sequence classification head: first token, dense layer, nonlinearity, output layer.
#[derive(Debug, Clone, Copy)]
pub struct HeadNames {
    /// Path of the dense layer.
    pub dense: &'static str,
    /// Path of the output layer.
    pub output: &'static str,
    /// Between the two.
    pub activation: Activation,
    /// Whether dropout also comes before the dense layer.
    pub input_dropout: bool,
    /// Modules that train with the head: (path prefix, name for `modules_to_save`, only when fresh).
    pub modules: &'static [HeadModule],
}

/// A module that belongs to the head.
#[derive(Debug, Clone, Copy)]
pub struct HeadModule {
    /// Name for `modules_to_save`.
    pub name: &'static str,
    /// Path of its parameters.
    pub path: &'static str,
    /// Part of the base model: trains only when it starts afresh.
    pub only_when_fresh: bool,
}

/// An encoder family as data: how its configuration is read and what its tensors are called.
#[derive(Debug)]
pub struct Family {
    /// `model_type` values.
    pub model_types: &'static [&'static str],
    /// Name of the base model inside a model with a head, without dot.
    pub prefix: &'static str,
    /// Names in the embedding module.
    pub embeddings: EmbeddingNames,
    /// Path of the list of blocks.
    pub blocks: &'static str,
    /// Names in a block.
    pub block: BlockNames,
    /// The classification head.
    pub head: HeadNames,
    /// The class of `transformers` with that head.
    pub classifier_class: &'static str,
    /// Default `target_modules`.
    pub default_targets: &'static [&'static str],
    /// Reads sizes and options; refuses what is not supported, by name.
    pub read: fn(&ModelConfig) -> Result<EncoderConfig, ModelError>,
}

/// Every encoder family.
pub static FAMILIES: [&Family; 3] = [&bert::FAMILY, &roberta::FAMILY, &distilbert::FAMILY];

impl Family {
    /// The family of a configuration.
    ///
    /// # Errors
    /// [`ModelError::UnsupportedModel`], naming the type and the supported ones; [`ModelError::UnsupportedOption`] for
    /// quantised weights.
    pub fn of(config: &ModelConfig) -> Result<&'static Self, ModelError> {
        let family = Self::by_type(config.model_type()).ok_or_else(|| unsupported(config))?;
        config.require(
            "quantization_config",
            |_| false,
            "weights that are not quantised",
        )?;
        config.require("is_encoder_decoder", |value| value == false, "false")?;
        config.require("is_decoder", |value| value == false, "false")?;
        config.require("add_cross_attention", |value| value == false, "false")?;
        config.require(
            "position_embedding_type",
            |value| value == "absolute",
            "absolute",
        )?;
        config.require(
            "pruned_heads",
            |value| value.as_object().is_some_and(serde_json::Map::is_empty),
            "no pruned heads",
        )?;
        Ok(family)
    }

    /// The family of a `model_type`.
    #[must_use]
    pub fn by_type(model_type: &str) -> Option<&'static Self> {
        FAMILIES
            .into_iter()
            .find(|family| family.model_types.contains(&model_type))
    }
}

/// Default `target_modules` of a `model_type`, as in PEFT; `None` where the user must name them.
#[must_use]
pub fn default_targets(model_type: &str) -> Option<&'static [&'static str]> {
    let decoder = || DecoderFamily::by_type(model_type).map(|family| family.default_targets);
    Family::by_type(model_type)
        .map(|family| family.default_targets)
        .or_else(decoder)
}
