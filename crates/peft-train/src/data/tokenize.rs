//! Texts to token ids with the tokenizer of a model folder.

use std::ops::Range;
use std::path::{Path, PathBuf};

use peft_core::file::input::{TOKENIZER_LIMIT, read_plain};
use tokenizers::{
    EncodeInput, Encoding, PostProcessor, Tokenizer, TruncationDirection, TruncationParams,
    TruncationStrategy,
};

use super::example::Example;
use super::guarded::{guarded, parse};
use super::problem::shorten;
use crate::TrainError;

/// The file of a model folder that holds the tokenizer.
const FILE: &str = "tokenizer.json";

/// How many examples are encoded at a time; their offsets and texts are dropped before the next ones.
const CHUNK: usize = 1024;

/// How texts become tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenizeOptions {
    /// The greatest number of tokens of an example, special tokens included; the longer text of a pair is cut first.
    pub max_length: usize,
    /// The id that fills up a batch; `None` takes it from the padding section of the file, or 0 (the mask hides it).
    pub pad_id: Option<u32>,
    /// The number of embeddings of the model, to refuse a tokenizer that belongs to another one.
    pub vocab_size: Option<usize>,
}

/// The tokens of one example, special tokens included, without padding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// Token ids, at least one.
    pub ids: Vec<u32>,
    /// 0 for the first text and 1 for the second, as the tokenizer says; as long as `ids`.
    pub type_ids: Vec<u32>,
}

/// The tokens of a data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tokenized {
    /// One entry per example, in the same order.
    pub examples: Vec<Encoded>,
    /// How many examples lost tokens to `max_length`.
    pub truncated: usize,
    /// Tokens of each example before it was cut.
    pub lengths: Vec<usize>,
}

/// A Hugging Face tokenizer with the truncation of a run and no padding, whatever its file says about both.
#[derive(Debug, Clone)]
pub struct TextTokenizer {
    inner: Tokenizer,
    path: PathBuf,
    pad_id: u32,
    id_limit: usize,
}

impl TextTokenizer {
    /// Loads `tokenizer.json` from a model folder.
    ///
    /// # Errors
    /// [`TrainError::Read`] when the file is not there, [`TrainError::Tokenizer`] when it is broken,
    /// [`TrainError::Option`] when `max_length` leaves no room for text beside the special tokens of a pair.
    pub fn load(folder: &Path, options: &TokenizeOptions) -> Result<Self, TrainError> {
        let path = folder.join(FILE);
        let bytes = read_plain(&path, TOKENIZER_LIMIT).map_err(|source| TrainError::Read {
            path: path.clone(),
            source,
        })?;
        let mut inner = parse(&path, &bytes)?;
        let special = inner
            .get_post_processor()
            .map_or(0, |post| post.added_tokens(true));
        if options.max_length < special + 2 {
            return Err(TrainError::Option {
                option: "max_length",
                expected: format!(
                    "at least {} ({special} special tokens and text)",
                    special + 2
                ),
                found: options.max_length.to_string(),
            });
        }
        let id_limit = (options.vocab_size.unwrap_or(i32::MAX as usize)).min(i32::MAX as usize);
        let of_file = inner.get_padding().map(|padding| padding.pad_id);
        // A token for padding that was added without a row for it: any other one is as good behind the mask.
        let of_file = of_file.filter(|id| (*id as usize) < id_limit);
        inner.with_padding(None);
        let truncation = TruncationParams {
            direction: TruncationDirection::Right,
            max_length: options.max_length,
            strategy: TruncationStrategy::LongestFirst,
            stride: 0,
        };
        guarded(&path, || inner.with_truncation(Some(truncation)).map(drop))?;
        Ok(Self {
            inner,
            pad_id: options.pad_id.or(of_file).unwrap_or(0),
            id_limit,
            path,
        })
    }

    /// The id that fills up a batch.
    pub fn pad_id(&self) -> u32 {
        self.pad_id
    }

    /// The greatest number of tokens of an example, where there is one.
    pub fn max_length(&self) -> Option<usize> {
        self.inner.get_truncation().map(|cut| cut.max_length)
    }

    /// The tokenizer itself, for decoding.
    pub fn inner(&self) -> &Tokenizer {
        &self.inner
    }

    /// How many rows a table needs to have one for each token: the largest id and one.
    #[must_use]
    pub fn tokens(&self) -> usize {
        let ids = self.inner.get_vocab(true).into_values();
        ids.max().map_or(0, |largest| largest as usize + 1)
    }

    /// The same tokenizer without a greatest length.
    ///
    /// # Errors
    /// [`TrainError::Tokenizer`].
    pub fn unlimited(mut self) -> Result<Self, TrainError> {
        guarded(&self.path, || self.inner.with_truncation(None).map(drop))?;
        Ok(self)
    }

    /// The error for a text that becomes no tokens.
    pub(crate) fn no_tokens(&self, index: usize, text: &str) -> TrainError {
        TrainError::NoTokens {
            path: self.path.clone(),
            index,
            text: shorten(text),
        }
    }

    /// The text of tokens, special ones left out.
    ///
    /// # Errors
    /// [`TrainError::Tokenizer`] when the tokenizer fails.
    pub fn text(&self, ids: &[u32]) -> Result<String, TrainError> {
        guarded(&self.path, || self.inner.decode(ids, true))
    }

    /// The ids of one text; `special` adds the tokens of the file's post-processor.
    ///
    /// # Errors
    /// [`TrainError::Tokenizer`] when the tokenizer fails, [`TrainError::TokenId`] when an id is beyond `vocab_size`.
    pub fn ids(&self, text: &str, special: bool) -> Result<Vec<u32>, TrainError> {
        self.ids_of(|inner| inner.encode_fast(text, special))
            .map(|(ids, _)| ids)
    }

    /// The ids that the file's post-processor puts before a text.
    ///
    /// # Errors
    /// As [`Self::ids`].
    pub(crate) fn opening(&self) -> Result<Vec<u32>, TrainError> {
        const TEXT: &str = "a";
        let (mut with, text) = (self.ids(TEXT, true)?, self.ids(TEXT, false)?);
        let at = match text.len() {
            0 => None,
            length => with.windows(length).position(|part| part == text),
        };
        with.truncate(at.unwrap_or(0));
        Ok(with)
    }

    /// The ids of one text without further special tokens, and the bytes of the text that each token stands for.
    ///
    /// # Errors
    /// As [`Self::ids`].
    pub fn ids_with_spans(&self, text: &str) -> Result<(Vec<u32>, Vec<Range<usize>>), TrainError> {
        let (ids, encoding) = self.ids_of(|inner| inner.encode(text, false))?;
        let spans = encoding
            .get_offsets()
            .iter()
            .map(|(start, end)| *start..*end);
        Ok((ids, spans.collect()))
    }

    /// The ids of what the tokenizer made, checked.
    fn ids_of(
        &self,
        encode: impl FnOnce(&Tokenizer) -> Result<Encoding, tokenizers::Error>,
    ) -> Result<(Vec<u32>, Encoding), TrainError> {
        let encoding = guarded(&self.path, || encode(&self.inner))?;
        let ids = encoding.get_ids().to_vec();
        self.check_ids(&ids)?;
        Ok((ids, encoding))
    }

    fn check_ids(&self, ids: &[u32]) -> Result<(), TrainError> {
        match ids.iter().find(|&&id| id as usize >= self.id_limit) {
            None => Ok(()),
            Some(&id) => Err(TrainError::TokenId {
                path: self.path.clone(),
                id,
                limit: self.id_limit,
            }),
        }
    }

    /// Encodes examples, with the special tokens and type ids of the file's post-processor. The result does not
    /// depend on the number of threads.
    ///
    /// # Errors
    /// [`TrainError::Tokenizer`] when the tokenizer fails, [`TrainError::NoTokens`] when nothing is left of a text,
    /// [`TrainError::TokenId`] when an id is beyond `vocab_size`.
    pub fn encode(&self, examples: &[Example]) -> Result<Tokenized, TrainError> {
        let mut all = Tokenized {
            examples: Vec::with_capacity(examples.len()),
            truncated: 0,
            lengths: Vec::with_capacity(examples.len()),
        };
        let mut whole: Option<Self> = None;
        for chunk in examples.chunks(CHUNK) {
            let inputs: Vec<EncodeInput> = chunk.iter().map(input).collect();
            let encodings = guarded(&self.path, || self.inner.encode_batch_fast(inputs, true))?;
            for (example, encoding) in chunk.iter().zip(encodings) {
                let encoded = self.checked(all.examples.len(), example, &encoding)?;
                let mut length = encoded.ids.len();
                if !encoding.get_overflowing().is_empty() {
                    all.truncated += 1;
                    let whole = match &whole {
                        Some(whole) => whole,
                        None => whole.insert(self.clone().unlimited()?),
                    };
                    length = whole
                        .ids_of(|inner| inner.encode_fast(input(example), true))?
                        .0
                        .len();
                }
                all.lengths.push(length);
                all.examples.push(encoded);
            }
        }
        Ok(all)
    }

    fn checked(
        &self,
        index: usize,
        example: &Example,
        encoding: &Encoding,
    ) -> Result<Encoded, TrainError> {
        let ids = encoding.get_ids().to_vec();
        if ids.is_empty() {
            return Err(self.no_tokens(index, &example.text));
        }
        self.check_ids(&ids)?;
        Ok(Encoded {
            ids,
            type_ids: encoding.get_type_ids().to_vec(),
        })
    }
}

fn input(example: &Example) -> EncodeInput<'_> {
    match &example.pair {
        Some(pair) => (example.text.as_str(), pair.as_str()).into(),
        None => example.text.as_str().into(),
    }
}
