//! A row as the model sees it.

use peft_train::data::{TextTokenizer, TokenRow};
use serde::Serialize;

use crate::{Error, Result};

/// A row with its tokens.
#[derive(Debug, Serialize)]
pub struct ShownRow {
    /// Counted from 1.
    pub row: usize,
    /// The file, where it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// What the model should say about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// What it reads.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tokens: Vec<ShownToken>,
}

/// A token in its row.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct ShownToken {
    /// Its number.
    pub id: u32,
    /// What it adds to the text; nothing where it ends within a character, which the token after it completes.
    pub text: String,
    /// Whether the model is to predict it.
    pub learnt: bool,
    /// Which text of the row it belongs to; texts of a row do not see each other.
    pub segment: u32,
}

impl ShownRow {
    /// A row of a language model.
    ///
    /// # Errors
    /// A token that the tokenizer does not know.
    pub fn tokens(at: usize, row: &TokenRow, tokenizer: &TextTokenizer) -> Result<Self> {
        let texts = texts(&row.ids, tokenizer)?;
        let about = row.learnt.iter().zip(&row.segments);
        let tokens = row.ids.iter().zip(texts).zip(about);
        Ok(Self {
            row: at + 1,
            file: None,
            label: None,
            tokens: tokens
                .map(|((id, text), (learnt, segment))| ShownToken {
                    id: *id,
                    text,
                    learnt: *learnt,
                    segment: *segment,
                })
                .collect(),
        })
    }

    /// A text to be classified; no token of it is predicted.
    ///
    /// # Errors
    /// As [`Self::tokens`].
    pub fn text(
        at: usize,
        ids: &[u32],
        label: Option<String>,
        tokenizer: &TextTokenizer,
    ) -> Result<Self> {
        let row = TokenRow {
            ids: ids.to_vec(),
            segments: vec![1; ids.len()],
            learnt: vec![false; ids.len()],
        };
        Ok(Self {
            label,
            ..Self::tokens(at, &row, tokenizer)?
        })
    }

    /// A picture to be classified.
    pub fn picture(at: usize, file: String, label: Option<String>) -> Self {
        Self {
            row: at + 1,
            file: Some(file),
            label,
            tokens: vec![],
        }
    }
}

/// What each token adds to the text of those before it.
fn texts(ids: &[u32], tokenizer: &TextTokenizer) -> Result<Vec<String>> {
    let mut stream = tokenizer.inner().decode_stream(false);
    ids.iter()
        .map(|id| {
            let text = stream.step(*id).map_err(|error| Error::Token {
                id: *id,
                message: error.to_string(),
            })?;
            Ok(text.unwrap_or_default())
        })
        .collect()
}
