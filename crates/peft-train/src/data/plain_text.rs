//! A plain text, one file, to rows of tokens.

use std::ops::Range;
use std::path::Path;

use rayon::prelude::*;

use super::account::{FileAccount, TokenAccount};
use super::packing::{RowLength, Text, TokenRow, TokenRows};
use super::read::read_text;
use super::tokenize::TextTokenizer;
use crate::TrainError;

/// Tokens of a row where nobody says how many.
const UNASKED: usize = 512;
/// Bytes that are made into tokens at a time, which takes some hundred times as many bytes of memory.
const PIECE: usize = 32 << 10;
/// Pieces that are made into tokens beside one another.
const BESIDE: usize = 64;
/// How many bytes are looked at for a place to end a piece; a text without one is cut between characters, where some tokens may be others
/// than in the whole.
const SEARCH: usize = 1 << 20;

/// Cuts one plain text, the whole file, into rows of exactly as many tokens as asked for; what is left at the end is dropped and counted. A
/// text that is shorter than a row is one.
///
/// Every row begins with the tokens that the tokenizer puts before a text, as a rule one: models that have never read a text without it,
/// such as Gemma, predict little after any other first token. No special tokens stand elsewhere.
///
/// # Errors
/// [`TrainError::Read`], [`TrainError::Tokenizer`], [`TrainError::TokenId`], and [`TrainError::NothingToLearn`] when there is nothing to predict in the text.
pub fn text_rows(
    path: &Path,
    tokenizer: &TextTokenizer,
    length: RowLength,
) -> Result<TokenRows, TrainError> {
    let text = read_text(path, None)?;
    let opening = tokenizer.opening()?;
    let ids = ids(&text, tokenizer, PIECE)?;
    let whole = opening.len() + ids.len();
    let unasked = RowLength {
        asked: length.asked.or(Some(UNASKED.min(whole.max(2)))),
        ..length
    };
    let (limit, why) = unasked.resolve(whole, true);
    let limit = limit.min(whole.max(2));
    let why = if length.asked.is_some() {
        why
    } else {
        "one text, cut into rows".to_owned()
    };
    let room = limit.saturating_sub(opening.len()).max(1);
    let rows = ids.chunks_exact(room).map(|ids| {
        let mut row = TokenRow::default();
        row.push(&Text::after([&opening, ids].concat(), opening.len()));
        row
    });
    let rows: Vec<TokenRow> = rows.collect();
    let left = ids.len() % room;
    let account = FileAccount {
        path: path.to_path_buf(),
        rows: text.lines().count(),
        tokens: Some(TokenAccount {
            cut_rows: usize::from(left > 0),
            cut_tokens: left,
            ..TokenAccount::of(&[ids.len()], limit, &why)
        }),
        ..FileAccount::default()
    };
    TokenRows { rows, account }.counted()
}

/// The tokens of a text, piece by piece. Pieces end where a line ends and the next begins with a letter, or else where a blank stands between
/// letters; each is read with the character before it, so that the tokenizer sees what it would see in the whole.
fn ids(text: &str, tokenizer: &TextTokenizer, size: usize) -> Result<Vec<u32>, TrainError> {
    let ends = std::iter::successors(Some(0), |begin| {
        (*begin < text.len()).then(|| piece_end(text, begin + size))
    });
    let ends: Vec<usize> = ends.collect();
    let pieces: Vec<Range<usize>> = ends.windows(2).map(|ends| ends[0]..ends[1]).collect();
    let mut ids = Vec::new();
    for some in pieces.chunks(BESIDE) {
        let of_piece = |piece: &Range<usize>| piece_ids(text, tokenizer, piece);
        let found: Result<Vec<Vec<u32>>, TrainError> = some.par_iter().map(of_piece).collect();
        ids.extend(found?.into_iter().flatten());
    }
    Ok(ids)
}

/// The tokens of a piece, which is read with the character before it.
fn piece_ids(
    text: &str,
    tokenizer: &TextTokenizer,
    piece: &Range<usize>,
) -> Result<Vec<u32>, TrainError> {
    let before = text[..piece.start].chars().next_back();
    let Some(before) = before.map(char::len_utf8) else {
        return tokenizer.ids(&text[piece.clone()], false);
    };
    let (found, spans) = tokenizer.ids_with_spans(&text[piece.start - before..piece.end])?;
    let new = found.iter().zip(spans);
    let new = new.filter(|(_, span)| span.end > before);
    Ok(new.map(|(id, _)| *id).collect())
}

/// Where a piece ends that has at least so many bytes.
fn piece_end(text: &str, least: usize) -> usize {
    let bytes = text.as_bytes();
    let line_end = |at: &usize| {
        bytes[at - 1] == b'\n'
            && bytes[*at].is_ascii_alphabetic()
            && at
                .checked_sub(2)
                .is_some_and(|before| !bytes[before].is_ascii_whitespace())
    };
    let blank = |at: &usize| {
        let after = bytes.get(at + 1).is_some_and(u8::is_ascii_alphabetic);
        bytes[*at] == b' ' && bytes[at - 1].is_ascii_alphabetic() && after
    };
    let least = least.max(1);
    let within = |more: usize| least..text.len().min(least.saturating_add(more));
    if least >= text.len() {
        return text.len();
    }
    let found = within(SEARCH)
        .find(line_end)
        .or_else(|| within(SEARCH).find(blank));
    found.unwrap_or_else(|| {
        let far = least.saturating_add(SEARCH);
        (far..text.len())
            .find(|at| text.is_char_boundary(*at))
            .unwrap_or(text.len())
    })
}
