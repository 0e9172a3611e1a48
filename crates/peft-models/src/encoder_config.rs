//! Sizes and options of an encoder, as its family reads them.

use crate::error::ModelError;
use crate::hf::ModelConfig;
use crate::layers::Activation;

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
