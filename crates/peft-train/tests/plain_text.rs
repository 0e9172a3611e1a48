//! Plain text files: the tokens of the whole, made piece by piece.

#![allow(
    clippy::unwrap_used,
    reason = "a panic in a test helper is the failure report"
)]

mod golden_tokenizer;

use std::path::PathBuf;

use peft_train::data::{RowLength, TextTokenizer, text_rows};
use tempfile::TempDir;

/// A tokenizer, a file of so many of the pieces, drawn by the remainder of `at * at`, and the tokens of the whole text.
struct LongText {
    path: PathBuf,
    tokenizer: TextTokenizer,
    whole: Vec<u32>,
    _folder: TempDir,
}

fn long_text<const N: usize>(pieces: [&str; N], count: usize, modulus: usize) -> LongText {
    let folder = tempfile::tempdir().unwrap();
    let tokenizer = golden_tokenizer::of_chats();
    let text: String = (0..count).map(|at| pieces[at * at % modulus % N]).collect();
    assert!(text.len() > 300_000, "several pieces");
    let path = folder.path().join("text.txt");
    std::fs::write(&path, &text).unwrap();
    LongText {
        path,
        whole: tokenizer.ids(&text, false).unwrap(),
        tokenizer,
        _folder: folder,
    }
}

#[test]
fn a_long_text_gives_the_tokens_of_the_whole() {
    let lines = [
        "The frog met a bee.\n",
        "  é 日本\n",
        "\n",
        "And then\n\n\n",
        "Once  upon, a time \n",
    ];
    let LongText {
        path,
        tokenizer,
        whole,
        ..
    } = &long_text(lines, 30_000, 7);
    let found = text_rows(path, tokenizer, RowLength::of(64)).unwrap();
    let ids: Vec<u32> = found.rows.iter().flat_map(|row| row.ids.clone()).collect();
    let full = whole.len() / 64 * 64;
    assert!(ids == whole[..full], "the same tokens");
    let tokens = found.account.tokens.unwrap();
    assert_eq!(
        (tokens.longest, tokens.cut_tokens),
        (whole.len(), whole.len() - full)
    );
    let unasked = text_rows(
        path,
        tokenizer,
        RowLength {
            asked: None,
            model: Some(100),
        },
    )
    .unwrap();
    assert_eq!(unasked.rows[0].ids.len(), 100, "as many as the model takes");
}

#[test]
fn a_long_text_without_line_ends_gives_the_tokens_of_the_whole() {
    let words = [
        "The frog", " met a", " bee.", "  Once", " upon, a", " time é",
    ];
    let LongText {
        path,
        tokenizer,
        whole,
        ..
    } = &long_text(words, 60_000, 11);
    let found = text_rows(path, tokenizer, RowLength::of(64)).unwrap();
    let ids: Vec<u32> = found.rows.iter().flat_map(|row| row.ids.clone()).collect();
    assert!(
        ids == whole[..ids.len()] && whole.len() - ids.len() < 64,
        "the same tokens"
    );
}

#[test]
fn a_long_text_without_any_place_to_cut_is_cut_between_characters() {
    let folder = tempfile::tempdir().unwrap();
    let tokenizer = golden_tokenizer::of_chats();
    let path = folder.path().join("text.txt");
    std::fs::write(&path, "日本".repeat(400_000)).unwrap();
    let found = text_rows(&path, &tokenizer, RowLength::of(64)).unwrap();
    assert!(found.account.tokens.unwrap().longest > 0);
}
