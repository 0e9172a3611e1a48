//! Why the tokenizer of a file could not be read.

use peft_format::file::input::Limit;

use crate::MetadataError;

/// Why the tokenizer of a file could not be read.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenizerError {
    /// An entry that is missing, or of another type.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// A kind of tokenizer, or a rule that cuts texts into words, that is not known.
    #[error("`{key}` is `{found}`, a {what} that is not known; known are {known}")]
    Unknown {
        /// The key.
        key: &'static str,
        /// What its value names.
        what: &'static str,
        /// The value.
        found: String,
        /// The values that are known.
        known: String,
    },
    /// An array with another number of values than there are tokens.
    #[error(
        "`{key}` must have {expected} values, one for each of `tokenizer.ggml.tokens`, found {found}"
    )]
    Length {
        /// The key.
        key: &'static str,
        /// The number of tokens.
        expected: usize,
        /// The number of values.
        found: usize,
    },
    /// An id beyond the last token.
    #[error("`{key}` must be the id of one of {tokens} tokens, found {found}")]
    Id {
        /// The key.
        key: &'static str,
        /// The number of tokens.
        tokens: usize,
        /// The id.
        found: u32,
    },
    /// A value of an array that means nothing.
    #[error("`{key}` must have {expected} at {index}, found {found}")]
    Item {
        /// The key.
        key: &'static str,
        /// The place in the array, from 0.
        index: usize,
        /// What should be there.
        expected: &'static str,
        /// What is there.
        found: String,
    },
    /// A token that is longer than any.
    #[error("`tokenizer.ggml.tokens` has {bytes} bytes at {index}, a token with a score at most {}; {}", limit.get(), limit.way_out(limit.get()))]
    LongToken {
        /// The place in the array, from 0.
        index: usize,
        /// Its length.
        bytes: usize,
        /// The greatest length.
        limit: Limit,
    },
    /// Merges that take far more room than the tokens that they follow from.
    #[error(
        "the merges that follow from the tokens and their scores take more than the {limit} that a tokenizer.json can have here; {}",
        limit.way_out(limit.get())
    )]
    Merges {
        /// The greatest size.
        limit: Limit,
    },
    /// A token that is there twice, so that its text has two ids.
    #[error(
        "`tokenizer.ggml.tokens` must have each token once, found {text:?} at {first} and {second}"
    )]
    Repeated {
        /// The token.
        text: String,
        /// Its first place.
        first: usize,
        /// Its second place.
        second: usize,
    },
    /// A token is to be added to every text, and there is no such token.
    #[error("`{flag}` is true, and there is no `{id}` that says which token")]
    NoToken {
        /// The key that asks for a token.
        flag: &'static str,
        /// The key that should name it.
        id: &'static str,
    },
    /// An entry that changes what texts mean and is not supported for this kind of tokenizer.
    #[error("`{key}` is not supported for a tokenizer of the kind `{model}`")]
    Unsupported {
        /// The key.
        key: &'static str,
        /// The kind of tokenizer.
        model: &'static str,
    },
}
