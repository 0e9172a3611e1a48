//! Plain text files: the tokens of the whole, made piece by piece.

#![allow(
    clippy::unwrap_used,
    reason = "a panic in a test helper is the failure report"
)]

mod golden_tokenizer;

use peft_train::data::{RowLength, text_rows};

#[test]
fn a_long_text_gives_the_tokens_of_the_whole() {
    let folder = tempfile::tempdir().unwrap();
    let tokenizer = golden_tokenizer::of_chats();
    let lines = [
        "The frog met a bee.\n",
        "  é 日本\n",
        "\n",
        "And then\n\n\n",
        "Once  upon, a time \n",
    ];
    let text: String = (0..30_000).map(|at| lines[at * at % 7 % 5]).collect();
    assert!(text.len() > 300_000, "several pieces");
    let path = folder.path().join("text.txt");
    std::fs::write(&path, &text).unwrap();
    let whole = tokenizer.ids(&text, false).unwrap();
    let found = text_rows(&path, &tokenizer, RowLength::of(64)).unwrap();
    let ids: Vec<u32> = found.rows.iter().flat_map(|row| row.ids.clone()).collect();
    let full = whole.len() / 64 * 64;
    assert!(ids == whole[..full], "the same tokens");
    let tokens = found.account.tokens.unwrap();
    assert_eq!(
        (tokens.longest, tokens.cut_tokens),
        (whole.len(), whole.len() - full)
    );
    let unasked = text_rows(
        &path,
        &tokenizer,
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
    let folder = tempfile::tempdir().unwrap();
    let tokenizer = golden_tokenizer::of_chats();
    let words = [
        "The frog", " met a", " bee.", "  Once", " upon, a", " time é",
    ];
    let text: String = (0..60_000).map(|at| words[at * at % 11 % 6]).collect();
    assert!(text.len() > 300_000, "several pieces");
    let path = folder.path().join("text.txt");
    std::fs::write(&path, &text).unwrap();
    let whole = tokenizer.ids(&text, false).unwrap();
    let found = text_rows(&path, &tokenizer, RowLength::of(64)).unwrap();
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
