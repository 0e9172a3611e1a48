//! The parts that stand beside weights: which files they are, and when two folders say the same.

use std::path::Path;

use peft_core::file::FileError;
use peft_core::file::input::{TOKENIZER_LIMIT, read_plain};
use peft_train::TrainError;
use peft_train::data::{ChatTemplate, TemplateSource, TextTokenizer, TokenizeOptions};
use serde_json::{Map, Value};

use crate::error::Context;
use crate::{Error, Result};

/// What the tokenizer's special tokens are called, and the chat template of older folders.
pub(super) const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
/// How the maker of a model wants texts to be continued.
pub(super) const GENERATION: &str = "generation_config.json";
/// How pictures become numbers.
pub(super) const IMAGES: &str = "preprocessor_config.json";
const TOKENIZER: &str = "tokenizer.json";

/// Tokenizers that only Python's slow classes read.
const SLOW: [&str; 6] = [
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "vocab.json",
    "vocab.txt",
    "added_tokens.json",
];

/// A part of what stands beside weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// `tokenizer.json`.
    Tokenizer,
    /// The special tokens of `tokenizer_config.json`.
    Tokens,
    /// The chat template, of a file of its own or of `tokenizer_config.json`.
    Template,
    /// `generation_config.json`.
    Generation,
    /// `preprocessor_config.json`.
    Images,
}

impl Part {
    /// Every part, in the order of its number.
    pub(super) const ALL: [Self; 5] = [
        Self::Tokenizer,
        Self::Tokens,
        Self::Template,
        Self::Generation,
        Self::Images,
    ];

    /// What people call it.
    pub(super) fn noun(self) -> &'static str {
        match self {
            Self::Tokenizer => "tokenizer",
            Self::Tokens => "special tokens",
            Self::Template => "chat template",
            Self::Generation => "generation settings",
            Self::Images => "image processor",
        }
    }

    /// Whether a folder has it.
    ///
    /// # Errors
    /// A template file that cannot be read.
    pub(super) fn is_in(self, folder: &Path) -> Result<bool> {
        Ok(match self {
            Self::Template => ChatTemplate::source_in(folder)?.is_some(),
            _ => folder.join(self.file()).is_file(),
        })
    }

    /// The file that it is, or that may hold it.
    fn file(self) -> &'static str {
        match self {
            Self::Tokenizer => TOKENIZER,
            Self::Tokens | Self::Template => TOKENIZER_CONFIG,
            Self::Generation => GENERATION,
            Self::Images => IMAGES,
        }
    }

    /// Whether two folders say the same, neither of them anything included.
    ///
    /// # Errors
    /// Files that cannot be read.
    pub(super) fn same(self, one: &Path, other: &Path) -> Result<bool> {
        if one == other {
            return Ok(true);
        }
        let there = (self.is_in(one)?, self.is_in(other)?);
        if there != (true, true) {
            return Ok(there.0 == there.1);
        }
        match self {
            Self::Template => {
                let text = |folder| Ok::<_, Error>(ChatTemplate::source_in(folder)?);
                let (one, other) = (text(one)?, text(other)?);
                Ok(one.map(TemplateSource::texts) == other.map(TemplateSource::texts))
            }
            Self::Tokenizer => {
                let (left, right) = (one.join(TOKENIZER), other.join(TOKENIZER));
                Ok(read(&left)? == read(&right)? || meaning(one)? == meaning(other)?)
            }
            _ => {
                let said = |folder: &Path| fields(&folder.join(self.file()));
                Ok(said(one)?.map(|map| self.said(map)) == said(other)?.map(|map| self.said(map)))
            }
        }
    }

    /// What of a file's fields this part is.
    fn said(self, mut fields: Map<String, Value>) -> Map<String, Value> {
        match self {
            Self::Tokens => fields.retain(|name, _| name.ends_with("_token")),
            _ => fields.retain(|name, _| name != "transformers_version" && !name.starts_with('_')),
        }
        fields
    }
}

/// A tokenizer as the library writes it, without the padding and truncation of the day on which it was saved.
fn meaning(folder: &Path) -> Result<String> {
    let options = TokenizeOptions {
        max_length: i32::MAX as usize,
        pad_id: None,
        vocab_size: None,
    };
    let tokenizer = TextTokenizer::load(folder, &options)?.unlimited()?;
    let text = tokenizer.inner().to_string(false);
    Ok(text.map_err(|error| TrainError::Tokenizer {
        path: folder.join(TOKENIZER),
        message: error.to_string(),
    })?)
}

/// Says that a folder has a tokenizer in a form that is not read.
pub(super) fn warn_of_slow(folder: &Path) {
    let slow: Vec<&str> = (SLOW.into_iter())
        .filter(|name| folder.join(name).is_file())
        .collect();
    if !slow.is_empty() && !folder.join(TOKENIZER).is_file() {
        log::warn!(
            "{}: a tokenizer without tokenizer.json ({}) is not read, and another one is used; save it by Python's \
             AutoTokenizer, which writes tokenizer.json",
            folder.display(),
            slow.join(", ")
        );
    }
}

/// The content of a JSON file, if it is there.
///
/// # Errors
/// A file that is no JSON object.
pub(super) fn fields(path: &Path) -> Result<Option<Map<String, Value>>> {
    if !path.exists() {
        return Ok(None);
    }
    let fields = serde_json::from_slice(&read(path)?);
    Ok(Some(
        fields.with_context(|| format!("in {}", path.display()))?,
    ))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    Ok(read_plain(path, TOKENIZER_LIMIT).map_err(FileError::io("read", path))?)
}
