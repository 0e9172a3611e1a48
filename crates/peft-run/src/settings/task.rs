//! What a run trains a model for.

use serde::{Deserialize, Serialize};

/// What the model is trained for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TaskKind {
    /// One text or a pair to one of several labels.
    #[default]
    SeqCls,
    /// One text or a pair to a number.
    Regression,
    /// A text to its next token.
    CausalLm,
    /// An image to one of several labels.
    ImageCls,
}
