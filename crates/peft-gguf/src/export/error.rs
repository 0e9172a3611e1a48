//! Why a model cannot be written as a GGUF file.

use crate::tokenizer::TokenizerError;
use crate::{FormatError, GgufError};

/// Why a model cannot be written as a GGUF file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// A field of a file of the model folder.
    #[error("{file}: `{field}` must be {expected} in a GGUF file, found {found}")]
    Field {
        /// The file.
        file: &'static str,
        /// The field.
        field: String,
        /// What it could be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// A tokenizer of which a file would say something else.
    #[error(
        "tokenizer.json: {what} cannot be said in a GGUF file, from which other token ids would come; write a folder instead"
    )]
    Tokenizer {
        /// The part that would be lost or changed.
        what: String,
    },
    /// The vocabulary of the metadata that are taken over has another size.
    #[error(
        "the model has {rows} rows of tokens and the GGUF file it comes from {tokens} tokens: a changed vocabulary cannot be written; write a folder instead"
    )]
    Vocabulary {
        /// Rows of the table.
        rows: u64,
        /// Tokens of the metadata.
        tokens: usize,
    },
    /// Tensors that files of the architecture do not have.
    #[error("no name in files of the architecture {architecture} for: {}", names.join(", "))]
    Names {
        /// The architecture.
        architecture: &'static str,
        /// The tensors.
        names: Vec<String>,
    },
    /// The tokenizer that was written cannot be read.
    #[error(transparent)]
    Written(#[from] TokenizerError),
    /// A name or a shape that files cannot have.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The file cannot be written.
    #[error(transparent)]
    File(#[from] GgufError),
}
