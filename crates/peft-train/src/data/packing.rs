//! Texts into rows: which token belongs to which text, and which are to be learnt.

use super::chat::Conversation;
use super::tokenize::TextTokenizer;
use crate::TrainError;

/// One row of tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenRow {
    /// Token ids.
    pub ids: Vec<u32>,
    /// The text each token belongs to, counted from 1 in the row; texts of a row do not see each other.
    pub segments: Vec<u32>,
    /// Whether the model is to predict the token from those before it.
    pub learnt: Vec<bool>,
}

impl TokenRow {
    /// Number of tokens to be predicted.
    #[must_use]
    pub fn targets(&self) -> usize {
        self.learnt.iter().filter(|learnt| **learnt).count()
    }

    /// Appends a text as a segment of its own. Its first token is not learnt, because nothing precedes it.
    pub(super) fn push(&mut self, text: &Text) {
        let segment = self.segments.last().map_or(1, |last| last + 1);
        self.ids.extend(&text.ids);
        self.segments.extend(text.ids.iter().map(|_| segment));
        let learnt = text.learnt.iter().enumerate();
        self.learnt
            .extend(learnt.map(|(at, learnt)| *learnt && at > 0));
    }
}

/// The tokens of one text, and which of them are learnt.
#[derive(Debug, Clone)]
pub(super) struct Text {
    ids: Vec<u32>,
    learnt: Vec<bool>,
}

impl Text {
    /// The first `given` tokens are not learnt.
    pub(super) fn after(ids: Vec<u32>, given: usize) -> Self {
        Self {
            learnt: (0..ids.len()).map(|at| at >= given).collect(),
            ids,
        }
    }

    /// A conversation: tokens that begin in what the assistant says are learnt.
    pub(super) fn said(chat: &Conversation, tokenizer: &TextTokenizer) -> Result<Self, TrainError> {
        let (ids, starts) = tokenizer.ids_with_starts(&chat.text)?;
        let is_said = |start: &usize| chat.learnt.iter().any(|said| said.contains(start));
        Ok(Self {
            ids,
            learnt: starts.iter().map(is_said).collect(),
        })
    }

    fn cut(&mut self, length: usize) {
        self.ids.truncate(length);
        self.learnt.truncate(length);
    }

    fn teaches(&self) -> bool {
        self.learnt.iter().skip(1).any(|learnt| *learnt)
    }
}

/// How texts become rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowOptions {
    /// Largest number of tokens of a row.
    pub max_length: usize,
    /// Ends every text, where the model has such a token.
    pub end: Option<u32>,
    /// Whether several texts share a row; without it, plain texts do and prompts with completions do not.
    pub packing: Option<bool>,
    /// Whether prompts are learnt too.
    pub train_on_prompt: bool,
}

/// The rows of a data set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenRows {
    /// Each at most as long as asked for.
    pub rows: Vec<TokenRow>,
    /// Texts that lost tokens to the length: a cut example, or the end of a plain text that fills no row.
    pub truncated: usize,
}

/// Puts texts into rows.
pub(super) struct Packer {
    pub(super) rows: TokenRows,
    options: RowOptions,
    packs: bool,
}

impl Packer {
    pub(super) fn new(options: RowOptions, by_default: bool) -> Self {
        Self {
            rows: TokenRows::default(),
            options,
            packs: options.packing.unwrap_or(by_default),
        }
    }

    /// Whether anything of the text was left to learn.
    pub(super) fn add(&mut self, mut text: Text) -> bool {
        let limit = self.options.max_length;
        if text.ids.len() > limit {
            if self.packs && text.learnt.iter().all(|learnt| *learnt) {
                // A long plain text is several.
                let parts = text.ids.chunks(limit).filter(|part| part.len() > 1);
                let parts: Vec<Text> = parts.map(|part| Text::after(part.to_vec(), 0)).collect();
                return parts.into_iter().all(|part| self.add(part));
            }
            self.rows.truncated += 1;
            text.cut(limit);
        }
        if !text.teaches() {
            return false;
        }
        let fits = |row: &&mut TokenRow| row.ids.len() + text.ids.len() <= limit;
        match self
            .rows
            .rows
            .last_mut()
            .filter(|_| self.packs)
            .filter(fits)
        {
            Some(row) => row.push(&text),
            None => {
                let mut row = TokenRow::default();
                row.push(&text);
                self.rows.rows.push(row);
            }
        }
        true
    }
}
