//! Tokenizers for texts of any length.
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::path::Path;

use peft_train::data::{TextTokenizer, TokenizeOptions};

/// The tokenizer of a folder.
pub(crate) fn unlimited(folder: &Path) -> TextTokenizer {
    let options = TokenizeOptions {
        max_length: 1000,
        pad_id: None,
        vocab_size: None,
    };
    let tokenizer = TextTokenizer::load(folder, &options).unwrap();
    tokenizer.unlimited().unwrap()
}

/// The one that the generator of the chat masks made.
pub(crate) fn of_chats() -> TextTokenizer {
    let folder = tempfile::tempdir().unwrap();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/chat_tokenizer.json");
    std::fs::copy(golden, folder.path().join("tokenizer.json")).unwrap();
    unlimited(folder.path())
}
