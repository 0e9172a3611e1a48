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
    /// Rotary positions of its blocks; families without have a table of positions.
    pub ropes: Vec<Rope>,
    /// Longest sequence that the model was made for.
    pub max_positions: usize,
    /// How many tokens each block's tokens see; `None` is all before.
    pub windows: Vec<Option<usize>>,
    /// Which of `ropes` each block turns its heads by; `None` is not at all.
    pub rope_of: Vec<Option<usize>>,
    /// Which layers have biases.
    pub biases: Biases,
    /// What is normalised of queries and keys.
    pub query_key_norm: Option<QueryKeyNorm>,
    /// Constant factors.
    pub scales: Scales,
    /// Bound `c` of the scores of attention, `c tanh(s / c)`, in families that have one.
    pub attention_cap: Option<f64>,
    /// Bound of the logits, in families that have one.
    pub logit_cap: Option<f64>,
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

/// What of a token's queries and keys is normalised together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueryKeyNorm {
    /// Each head.
    Heads,
    /// All heads.
    Whole,
}

/// Constant factors of a forward.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scales {
    /// Of the embeddings.
    pub embeddings: f64,
    /// Of the scores of attention.
    pub attention: f64,
    /// Of what a layer adds to the hidden states.
    pub residual: f64,
    /// Of the logits.
    pub logits: f64,
}

impl Scales {
    /// The usual ones: scores are divided by the root of a head's width, all else is 1.
    #[must_use]
    pub fn usual(d_head: usize) -> Self {
        Self {
            embeddings: 1.0,
            attention: 1.0 / (d_head as f64).sqrt(),
            residual: 1.0,
            logits: 1.0,
        }
    }
}

/// How a family normalises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormKind {
    /// With mean and shift.
    Layer,
    /// By the root of the mean square.
    Rms,
    /// The same, where files hold the scale less 1.
    RmsFromOne,
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
    /// Norms of attention.
    pub attention_norms: Norms,
    /// Query, key and value projections, or the one layer that holds all three.
    pub projections: &'static [&'static str],
    /// Norms of queries and keys, in families that have them.
    pub query_key_norms: [&'static str; 2],
    /// Output projection of attention.
    pub output: &'static str,
    /// Norms of the MLP.
    pub mlp_norms: Norms,
    /// The MLP.
    pub mlp: MlpNames,
}

/// Names of the norms around attention or the MLP.
#[derive(Debug, Clone, Copy)]
pub struct Norms {
    /// Of what goes in.
    pub before: Option<&'static str>,
    /// Of what comes out.
    pub after: Option<&'static str>,
}

impl Norms {
    /// One norm, of what goes in.
    pub(crate) const fn before(name: &'static str) -> Self {
        Self {
            before: Some(name),
            after: None,
        }
    }
}

/// Names of an MLP's layers.
#[derive(Debug, Clone, Copy)]
pub enum MlpNames {
    /// Up and down.
    Plain([&'static str; 2]),
    /// Gate, up and down.
    Gated([&'static str; 3]),
    /// Gate and up in one layer, and down.
    GatedInOne([&'static str; 2]),
}

impl MlpNames {
    /// The layers from the hidden states, with their widths where the MLP is `d_ff` wide, and the layer back.
    pub(crate) fn layers(self, d_ff: usize) -> (Vec<(&'static str, usize)>, &'static str) {
        match self {
            Self::Plain([up, down]) => (vec![(up, d_ff)], down),
            Self::Gated([gate, up, down]) => (vec![(gate, d_ff), (up, d_ff)], down),
            Self::GatedInOne([both, down]) => (vec![(both, 2 * d_ff)], down),
        }
    }
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
    /// How it normalises.
    pub norms: NormKind,
    /// Default `target_modules`.
    pub default_targets: &'static [&'static str],
    /// Reads sizes and options; refuses what is not supported, by name.
    pub read: fn(&ModelConfig) -> Result<DecoderConfig, ModelError>,
}
