//! Texts into rows: which token belongs to which text, which are to be learnt, and how long a row may be.

use super::account::{FileAccount, TokenAccount};
use super::chat::Conversation;
use super::tokenize::TextTokenizer;
use crate::TrainError;

/// Most tokens of a row where nobody says how many: what a longer row costs should be somebody's wish.
pub const UNASKED_LENGTH: usize = 2048;
/// Tokens of a row that texts share, at least, where nobody says how many.
const SHARED: usize = 128;

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

    /// A conversation: tokens that share a byte with what the assistant says are learnt.
    pub(super) fn said(chat: &Conversation, tokenizer: &TextTokenizer) -> Result<Self, TrainError> {
        let (ids, spans) = tokenizer.ids_with_spans(&chat.text)?;
        let learnt = spans.iter().map(|span| {
            let shares =
                |said: &std::ops::Range<usize>| span.start < said.end && span.end > said.start;
            chat.learnt.iter().any(shares)
        });
        Ok(Self {
            learnt: learnt.collect(),
            ids,
        })
    }

    /// The same tokens, of which none before `given` is learnt.
    pub(super) fn not_before(mut self, given: usize) -> Self {
        self.learnt
            .iter_mut()
            .take(given)
            .for_each(|learnt| *learnt = false);
        self
    }

    pub(super) fn ids(&self) -> &[u32] {
        &self.ids
    }

    fn cut(&mut self, length: usize) {
        self.ids.truncate(length);
        self.learnt.truncate(length);
    }

    fn teaches(&self) -> bool {
        self.learnt.iter().skip(1).any(|learnt| *learnt)
    }
}

/// How long a row may be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RowLength {
    /// What was asked for; without it, as long as the longest text, within reason.
    pub asked: Option<usize>,
    /// What the model takes.
    pub model: Option<usize>,
}

impl RowLength {
    /// So many tokens.
    #[must_use]
    pub fn of(asked: usize) -> Self {
        Self {
            asked: Some(asked),
            model: None,
        }
    }

    /// The limit for texts of which the longest has so many tokens, and where it comes from.
    pub(super) fn resolve(self, longest: usize, shared: bool) -> (usize, String) {
        let model = self.model.unwrap_or(usize::MAX);
        if let Some(asked) = self.asked {
            return match asked > model {
                true => (model, "as many as the model takes".to_owned()),
                false => (asked, "--max-length".to_owned()),
            };
        }
        let wanted = if shared { longest.max(SHARED) } else { longest };
        let limit = wanted.min(model).clamp(1, UNASKED_LENGTH);
        let why = match limit {
            limit if limit == longest => "the longest",
            limit if limit == model => "as many as the model takes",
            limit if limit == UNASKED_LENGTH => "no more are taken unless --max-length says so",
            _ => "rows that texts share",
        };
        (limit, why.to_owned())
    }
}

/// How texts become rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowOptions {
    /// Largest number of tokens of a row.
    pub length: RowLength,
    /// Ends every text, where the model has such a token.
    pub end: Option<u32>,
    /// Whether several texts share a row; without it, plain texts do and prompts with completions do not.
    pub packing: Option<bool>,
    /// Whether prompts are learnt too.
    pub train_on_prompt: bool,
}

/// The rows of a data set.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TokenRows {
    /// Each at most as long as the limit.
    pub rows: Vec<TokenRow>,
    /// What became of the file.
    pub account: FileAccount,
}

impl TokenRows {
    /// Some of the rows, in this order; the others are counted as dropped.
    ///
    /// # Errors
    /// [`TrainError::NothingToLearn`] when none is left.
    pub fn subset(mut self, rows: &[usize], why: &str) -> Result<Self, TrainError> {
        let left_out = self.rows.len() - rows.len();
        self.account.remark(why, left_out, "after packing");
        self.rows = rows.iter().map(|at| self.rows[*at].clone()).collect();
        self.counted()
    }

    /// Counts the rows in the account; an error where there is none.
    pub(super) fn counted(mut self) -> Result<Self, TrainError> {
        if self.rows.is_empty() {
            return Err(TrainError::NothingToLearn {
                path: self.account.path.clone(),
                account: self.account.to_string(),
            });
        }
        self.account.examples = self.rows.len();
        if let Some(tokens) = &mut self.account.tokens {
            tokens.kept = self.rows.iter().map(|row| row.ids.len()).sum();
            tokens.learnt = Some(self.rows.iter().map(TokenRow::targets).sum());
        }
        Ok(self)
    }
}

/// Puts the texts of a file into rows, each with the line where it begins.
///
/// # Errors
/// [`TrainError::NothingToLearn`] when no row is left.
pub(super) fn pack(
    texts: Vec<(u64, Text)>,
    options: RowOptions,
    shares: bool,
    account: FileAccount,
) -> Result<TokenRows, TrainError> {
    let shares = options.packing.unwrap_or(shares);
    let lengths: Vec<usize> = texts.iter().map(|(_, text)| text.ids.len()).collect();
    let longest = lengths.iter().max().copied().unwrap_or(0);
    let (limit, why) = options.length.resolve(longest, shares);
    let mut packer = Packer {
        limit,
        shares,
        rows: vec![],
        tokens: TokenAccount::of(&lengths, limit, &why),
        account,
    };
    for (line, text) in texts {
        packer.add(line, text);
    }
    packer.account.tokens = Some(packer.tokens);
    let rows = TokenRows {
        rows: packer.rows,
        account: packer.account,
    };
    rows.counted()
}

/// Rows that grow, and the account of what does not get into them.
struct Packer {
    limit: usize,
    shares: bool,
    rows: Vec<TokenRow>,
    tokens: TokenAccount,
    account: FileAccount,
}

impl Packer {
    fn add(&mut self, line: u64, mut text: Text) {
        let length = text.ids.len();
        if !text.teaches() {
            return self
                .account
                .drop_row("with nothing to learn", format_args!("line {line}"));
        }
        if length > self.limit {
            if self.shares && text.learnt.iter().all(|learnt| *learnt) {
                // A long plain text is several. One token alone teaches nothing.
                let parts = text.ids.chunks(self.limit).filter(|part| part.len() > 1);
                parts.for_each(|part| self.place(&Text::after(part.to_vec(), 0)));
                return;
            }
            text.cut(self.limit);
            if !text.teaches() {
                let what = format!(
                    "whose prompt alone fills a row of {} tokens (--max-length)",
                    self.limit
                );
                return self
                    .account
                    .drop_row(&what, format_args!("line {line} ({length} tokens)"));
            }
            self.tokens.cut_rows += 1;
            self.tokens.cut_tokens += length - self.limit;
        }
        self.place(&text);
    }

    fn place(&mut self, text: &Text) {
        let (shares, limit) = (self.shares, self.limit);
        let fits = |row: &&mut TokenRow| shares && row.ids.len() + text.ids.len() <= limit;
        match self.rows.last_mut().filter(fits) {
            Some(row) => row.push(text),
            None => {
                let mut row = TokenRow::default();
                row.push(text);
                self.rows.push(row);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_follows_what_was_asked_the_texts_and_the_model() {
        let resolve =
            |asked, model, longest, shared| RowLength { asked, model }.resolve(longest, shared).0;
        assert_eq!(resolve(None, Some(512), 300, false), 300);
        assert_eq!(resolve(None, Some(512), 900, false), 512);
        assert_eq!(resolve(None, None, 9000, false), UNASKED_LENGTH);
        assert_eq!(resolve(None, Some(512), 10, true), SHARED);
        assert_eq!(resolve(None, Some(64), 10, true), 64);
        assert_eq!(resolve(Some(100), Some(64), 10, false), 64);
        assert_eq!(resolve(Some(100), Some(512), 900, false), 100);
        assert_eq!(resolve(Some(4000), None, 9000, true), 4000);
    }
}
