//! The tokens that a file names, and which of them every text gets.

use super::vocabulary::{Kind, Vocabulary};
use super::{MODEL, TokenizerError, pre};
use crate::{Metadata, MetadataError};

const BOS: &str = "tokenizer.ggml.bos_token_id";
const EOS: &str = "tokenizer.ggml.eos_token_id";
const ADD_BOS: &str = "tokenizer.ggml.add_bos_token";
const ADD_EOS: &str = "tokenizer.ggml.add_eos_token";

/// The ids of special tokens, each one of the vocabulary's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Special {
    pub(super) bos: Option<u32>,
    pub(super) eos: Option<u32>,
    pub(super) unk: Option<u32>,
    pub(super) pad: Option<u32>,
    pub(super) sep: Option<u32>,
    pub(super) mask: Option<u32>,
    /// What ends a turn of a conversation.
    pub(super) eot: Option<u32>,
    /// What ends a message that is not the whole turn.
    pub(super) eom: Option<u32>,
    pub(super) add_bos: bool,
    pub(super) add_eos: bool,
}

impl Special {
    /// What a file says, with llama.cpp's assumptions where it says nothing.
    pub(super) fn read(
        metadata: &Metadata,
        vocabulary: &Vocabulary<'_>,
    ) -> Result<Self, TokenizerError> {
        let id = |key| id(metadata, vocabulary, key);
        let scored = metadata.text(MODEL)? == "llama";
        // The ids of Llama's own tokenizer, which old files do not repeat.
        let or = |id: Option<u32>, assumed: u32, kind: Kind| {
            let token = vocabulary.text(assumed);
            let found = token.and_then(|text| vocabulary.find(text));
            let fits = scored && found.is_some_and(|(_, found)| found == kind);
            id.or(fits.then_some(assumed))
        };
        let by_default = scored || pre::adds_bos(metadata)?;
        let special = Self {
            bos: or(id(BOS)?, 1, Kind::Control),
            eos: or(id(EOS)?, 2, Kind::Control),
            unk: or(id("tokenizer.ggml.unknown_token_id")?, 0, Kind::Unknown),
            pad: id("tokenizer.ggml.padding_token_id")?,
            // So it is spelled in files.
            sep: id("tokenizer.ggml.seperator_token_id")?,
            mask: id("tokenizer.ggml.mask_token_id")?,
            eot: id("tokenizer.ggml.eot_token_id")?,
            eom: id("tokenizer.ggml.eom_token_id")?,
            add_bos: flag(metadata, ADD_BOS)?.unwrap_or(by_default),
            add_eos: flag(metadata, ADD_EOS)?.unwrap_or(false),
        };
        let asked = [
            (special.add_bos, special.bos, ADD_BOS, BOS),
            (special.add_eos, special.eos, ADD_EOS, EOS),
        ];
        match asked.iter().find(|(add, id, ..)| *add && id.is_none()) {
            Some((.., flag, id)) => Err(TokenizerError::NoToken { flag, id }),
            None => Ok(special),
        }
    }

    /// The token that stands before a text.
    pub(super) fn before(&self) -> Option<u32> {
        self.bos.filter(|_| self.add_bos)
    }

    /// The token that stands behind a text.
    pub(super) fn behind(&self) -> Option<u32> {
        self.eos.filter(|_| self.add_eos)
    }
}

/// The id of a key, where there is one.
fn id(
    metadata: &Metadata,
    vocabulary: &Vocabulary<'_>,
    key: &'static str,
) -> Result<Option<u32>, TokenizerError> {
    if !metadata.contains(key) {
        return Ok(None);
    }
    let found = metadata.u32(key)?;
    match vocabulary.text(found) {
        Some(_) => Ok(Some(found)),
        None => Err(TokenizerError::Id {
            key,
            tokens: vocabulary.len(),
            found,
        }),
    }
}

/// Yes or no, where the file says either.
pub(super) fn flag(metadata: &Metadata, key: &str) -> Result<Option<bool>, MetadataError> {
    match metadata.contains(key) {
        true => metadata.bool(key).map(Some),
        false => Ok(None),
    }
}
