//! The tokens of a file and their types.

use std::borrow::Cow;

use indexmap::IndexMap;
use indexmap::map::Entry;
use serde_json::{Map, Value};

use super::TokenizerError;
use crate::Metadata;

pub(super) const TOKENS: &str = "tokenizer.ggml.tokens";
const TYPES: &str = "tokenizer.ggml.token_type";

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A piece of text.
    Normal,
    /// What stands for text that has no tokens.
    Unknown,
    /// A sign for the model, such as the end of a text.
    Control,
    /// A text that is always one token.
    UserDefined,
    /// A row without a token.
    Unused,
    /// One byte of a character that has no token.
    Byte,
}

impl Kind {
    /// What llama.cpp's number of a type means; 0 is a type that was not stated.
    fn from_id(id: i32) -> Option<Self> {
        Some(match id {
            0 | 1 => Self::Normal,
            2 => Self::Unknown,
            3 => Self::Control,
            4 => Self::UserDefined,
            5 => Self::Unused,
            6 => Self::Byte,
            _ => return None,
        })
    }

    /// llama.cpp's number of it.
    pub(crate) fn id(self) -> i32 {
        match self {
            Self::Normal => 1,
            Self::Unknown => 2,
            Self::Control => 3,
            Self::UserDefined => 4,
            Self::Unused => 5,
            Self::Byte => 6,
        }
    }
}

/// The tokens of a file, each once, in the order of their ids.
pub(super) struct Vocabulary<'a> {
    tokens: IndexMap<Cow<'a, str>, Kind>,
}

impl<'a> Vocabulary<'a> {
    /// The tokens of a file.
    pub(super) fn read(metadata: &'a Metadata) -> Result<Self, TokenizerError> {
        let texts = metadata.texts(TOKENS)?;
        let types = match metadata.contains(TYPES) {
            true => Some(metadata.i32s(TYPES)?),
            false => None,
        };
        if let Some(types) = types {
            same_length(TYPES, texts.len(), types.len())?;
        }
        let mut tokens = IndexMap::with_capacity(texts.len());
        for (index, text) in texts.iter().enumerate() {
            let found = types.and_then(|types| types.get(index).copied());
            let kind = Kind::from_id(found.unwrap_or(1)).ok_or_else(|| TokenizerError::Item {
                key: TYPES,
                index,
                expected: "a type of tokens, 0 to 6",
                found: found.unwrap_or_default().to_string(),
            })?;
            // The name that llama.cpp gives to rows without a text, of which there may be several.
            let text = match text {
                "" => Cow::Owned(format!("[EMPTY_{index}]")),
                text => Cow::Borrowed(text),
            };
            match tokens.entry(text) {
                Entry::Vacant(entry) => entry.insert(kind),
                Entry::Occupied(entry) => {
                    return Err(TokenizerError::Repeated {
                        text: entry.key().to_string(),
                        first: entry.index(),
                        second: index,
                    });
                }
            };
        }
        Ok(Self { tokens })
    }

    pub(super) fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Id, text and kind of all tokens.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &str, Kind)> {
        let tokens = self.tokens.iter().enumerate();
        tokens.map(|(id, (text, kind))| (id, text.as_ref(), *kind))
    }

    /// The text of an id.
    pub(super) fn text(&self, id: u32) -> Option<&str> {
        let (text, _) = self.tokens.get_index(usize::try_from(id).ok()?)?;
        Some(text)
    }

    /// Id and kind of a text.
    pub(super) fn find(&self, text: &str) -> Option<(usize, Kind)> {
        let (id, _, kind) = self.tokens.get_full(text)?;
        Some((id, *kind))
    }

    /// Texts with their ids, as the model section has them.
    pub(super) fn to_json(&self) -> Map<String, Value> {
        let tokens = self.iter();
        tokens
            .map(|(id, text, _)| (text.to_owned(), id.into()))
            .collect()
    }
}

/// That an array has one value for each token.
pub(super) fn same_length(
    key: &'static str,
    expected: usize,
    found: usize,
) -> Result<(), TokenizerError> {
    match expected == found {
        true => Ok(()),
        false => Err(TokenizerError::Length {
            key,
            expected,
            found,
        }),
    }
}
