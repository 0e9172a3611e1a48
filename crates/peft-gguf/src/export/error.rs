//! Why a model cannot be written as a GGUF file.

use peft_format::file::input::Limit;

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
    /// A size that no model has, from which tables as large would be made.
    #[error("config.json: `{field}` must be at most {most} in a GGUF file, found {found}; {}", limit.way_out(limit.get()))]
    TooLarge {
        /// The field.
        field: &'static str,
        /// The largest value.
        most: u64,
        /// What it is.
        found: u64,
        /// What the table may take.
        limit: Limit,
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

impl ExportError {
    /// Refuses a size from which a table of `each` bytes a row is made that is larger than the limit.
    pub(super) fn refuse_large(
        field: &'static str,
        found: u32,
        each: u64,
        limit: Limit,
    ) -> Result<(), Self> {
        let (found, most) = (u64::from(found), limit.get() / each);
        match found <= most {
            true => Ok(()),
            false => Err(Self::TooLarge {
                field,
                most,
                found,
                limit,
            }),
        }
    }
}
