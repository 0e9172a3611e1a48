//! What the decoder families have in common: sizes, options and names, as data.

use peft_core::SiteKind;

use crate::error::ModelError;
use crate::hf::{LARGEST, ModelConfig};
use crate::layers::{Activation, Rope};

/// Sizes and options of a decoder, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct DecoderConfig {
    /// Rows of the word table.
    pub vocab_size: usize,
    /// Width of the hidden states.
    pub d_model: usize,
    /// Number of blocks.
    pub layers: usize,
    /// Queries.
    pub heads: usize,
    /// Keys and values; divides `heads`.
    pub kv_heads: usize,
    /// Width of a head.
    pub d_head: usize,
    /// Width inside the MLP.
    pub d_ff: usize,
    /// Nonlinearity of the MLP.
    pub activation: Activation,
    /// Epsilon of the norms.
    pub eps: f64,
    /// Rotary positions; families without have a table of positions.
    pub rope: Option<Rope>,
    /// Longest sequence that the model was made for.
    pub max_positions: usize,
    /// How many tokens each block's tokens see; `None` is all before.
    pub windows: Vec<Option<usize>>,
    /// Which layers have biases.
    pub biases: Biases,
    /// Whether queries and keys are normalised per head.
    pub query_key_norm: bool,
    /// Whether the output layer is the transposed word table.
    pub tied: bool,
    /// How files store the linear layers.
    pub kind: SiteKind,
    /// Dropout after the embeddings.
    pub embedding_dropout: f64,
    /// Dropout of attention weights.
    pub attention_dropout: f64,
    /// Dropout after attention and MLP.
    pub residual_dropout: f64,
    /// Standard deviation of fresh weights.
    pub initializer_range: f64,
}

/// Which linear layers have a bias.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Biases {
    /// Queries, keys and values.
    pub projections: bool,
    /// Output of attention.
    pub output: bool,
    /// The MLP.
    pub mlp: bool,
}

impl DecoderConfig {
    /// Refuses sizes that contradict each other.
    ///
    /// # Errors
    /// [`ModelError::Field`].
    pub(crate) fn checked(self, config: &ModelConfig) -> Result<Self, ModelError> {
        if self.heads.is_multiple_of(self.kv_heads) {
            return Ok(self);
        }
        Err(ModelError::Field {
            path: config.path().to_path_buf(),
            field: "num_key_value_heads".to_owned(),
            expected: "a divisor of the number of heads",
            found: format!("{} for {} heads", self.kv_heads, self.heads),
        })
    }
}

/// The width of a head where the file leaves it to the width of the model.
///
/// # Errors
/// [`ModelError::Field`] when the heads do not divide the width.
pub(crate) fn d_head(
    config: &ModelConfig,
    heads_field: &str,
    d_model: usize,
    heads: usize,
) -> Result<usize, ModelError> {
    let width = match config.present("head_dim") {
        Some(_) => config.positive("head_dim")?,
        None if d_model.is_multiple_of(heads) => d_model / heads,
        None => 0,
    };
    if width > 0 && heads.saturating_mul(width) <= LARGEST {
        return Ok(width);
    }
    Err(ModelError::Field {
        path: config.path().to_path_buf(),
        field: heads_field.to_owned(),
        expected: "a divisor of the hidden size, with heads of at most 12000000 values in all",
        found: format!("{heads} heads for a hidden size of {d_model}"),
    })
}

/// Names of a decoder block's layers below the block.
#[derive(Debug, Clone, Copy)]
pub struct DecoderBlockNames {
    /// Norm before attention.
    pub attention_norm: &'static str,
    /// Query, key and value projections, or the one layer that holds all three.
    pub projections: &'static [&'static str],
    /// Norms of queries and keys, in families that have them.
    pub query_key_norms: [&'static str; 2],
    /// Output projection of attention.
    pub output: &'static str,
    /// Norm before the MLP.
    pub mlp_norm: &'static str,
    /// The MLP: gate, up and down, or up and down.
    pub mlp: &'static [&'static str],
}

/// A decoder family as data: how its configuration is read and what its tensors are called.
#[derive(Debug)]
pub struct DecoderFamily {
    /// `model_type` values.
    pub model_types: &'static [&'static str],
    /// Name of the base model inside a model with a head, without dot.
    pub prefix: &'static str,
    /// Word table.
    pub words: &'static str,
    /// Position table, in families that have one.
    pub positions: Option<&'static str>,
    /// Path of the list of blocks.
    pub blocks: &'static str,
    /// Names in a block.
    pub block: DecoderBlockNames,
    /// Norm after the last block.
    pub norm: &'static str,
    /// Whether norms have mean and shift.
    pub layer_norms: bool,
    /// Default `target_modules`.
    pub default_targets: &'static [&'static str],
    /// Reads sizes and options; refuses what is not supported, by name.
    pub read: fn(&ModelConfig) -> Result<DecoderConfig, ModelError>,
}
