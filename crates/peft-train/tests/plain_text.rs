//! Plain text files: the tokens of the whole, made piece by piece.

#![allow(
    clippy::unwrap_used,
    reason = "a panic in a test helper is the failure report"
)]

use std::path::Path;

use peft_train::data::{RowLength, TextTokenizer, TokenizeOptions, text_rows};

#[test]
fn a_long_text_gives_the_tokens_of_the_whole() {
    let folder = tempfile::tempdir().unwrap();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/chat_tokenizer.json");
    std::fs::copy(golden, folder.path().join("tokenizer.json")).unwrap();
    let options = TokenizeOptions {
        max_length: 1000,
        pad_id: None,
        vocab_size: None,
    };
    let tokenizer = TextTokenizer::load(folder.path(), &options).unwrap();
    let tokenizer = tokenizer.unlimited().unwrap();
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
