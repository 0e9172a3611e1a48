//! `tokenizer.json`: loading, tokens of texts, and their texts again.

use peft_train::data::{TextTokenizer, TokenizeOptions};

use crate::scratch;

const TEXTS: [&str; 4] = [
    "the film was good",
    "",
    "ﬁ 東京 🙂\u{301}",
    "[MASK] <s> ▁a  b\n\n",
];

/// Does with the bytes what the program does with such a file.
///
/// # Panics
/// When a reader contradicts itself: a finding.
pub fn run(bytes: &[u8]) {
    scratch::with_file_called("tokenizer.json", bytes, |path| {
        let folder = path.parent().expect("the file is in a folder");
        let options = TokenizeOptions {
            max_length: 8,
            vocab_size: Some(30_522),
            pad_id: None,
        };
        let Ok(tokenizer) = TextTokenizer::load(folder, &options) else {
            return;
        };
        let _rows = tokenizer.tokens();
        for text in TEXTS {
            if let Ok(ids) = tokenizer.ids(text, true) {
                assert!(ids.iter().all(|id| *id < 30_522));
                let _text = tokenizer.text(&ids);
            }
            let _spans = tokenizer.ids_with_spans(text);
        }
    });
}
