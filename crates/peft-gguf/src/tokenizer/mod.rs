//! The tokenizer inside a GGUF file, as the files of a Hugging Face folder.
//!
//! A GGUF file has the tokens, the merges or scores and the special tokens of a tokenizer, and the name of a rule that cuts texts into
//! words. [`tokenizer_json`] makes of them what the `tokenizers` library reads, [`tokenizer_config`] what names the special tokens and
//! holds the chat template, [`generation_config`] what ends a text.
//!
//! What is in a file is checked: a tokenizer that differs from the model's own gives no error but bad texts. So a rule or a kind of
//! tokenizer that is not known is refused by name.
//!
//! A file does not say everything that a `tokenizer.json` does. Whether a special token takes the spaces beside it (as those of Phi-3
//! do) is not recorded: here none does. Neither is a normalizer: texts are put into the form NFC where the tokenizers of the family do
//! so, which llama.cpp leaves out.

mod added;
mod byte_level;
mod config;
mod error;
pub(crate) mod merges;
pub(crate) mod pre;
pub(crate) mod sentencepiece;
mod special;
pub(crate) mod vocabulary;

use serde_json::{Value, json};

pub use config::{generation_config, tokenizer_config};
pub use error::TokenizerError;

use crate::Metadata;
use special::Special;
use vocabulary::Vocabulary;

/// Which kind of tokenizer a file has.
const MODEL: &str = "tokenizer.ggml.model";
/// The kinds that are read.
const MODELS: [&str; 3] = ["gpt2", "llama", "gemma4"];

/// What is particular to a kind of tokenizer; each is a section of `tokenizer.json`.
struct Sections {
    normalizer: Value,
    pre_tokenizer: Value,
    decoder: Value,
    model: Value,
}

/// The content of `tokenizer.json`: byte-level BPE (`gpt2`), BPE of SentencePiece with scores (`llama`) or with merges (`gemma4`).
///
/// Every token keeps its id. Control tokens are special tokens, and are found in texts wherever they stand; tokens that a user
/// defined are found likewise and are not special.
///
/// # Errors
///
/// [`TokenizerError`] for kinds and word rules that are not known, and for entries that contradict each other.
pub fn tokenizer_json(metadata: &Metadata) -> Result<Value, TokenizerError> {
    let model = metadata.text(MODEL)?;
    let vocabulary = Vocabulary::read(metadata)?;
    let special = Special::read(metadata, &vocabulary)?;
    let sections = match model {
        "gpt2" => byte_level::sections(metadata, &vocabulary)?,
        "llama" => sentencepiece::scored(metadata, &vocabulary, &special)?,
        "gemma4" => sentencepiece::merged(metadata, &vocabulary, &special)?,
        other => return Err(unknown_model(other)),
    };
    let small = json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "normalizer": sections.normalizer,
        "pre_tokenizer": sections.pre_tokenizer,
        "post_processor": added::post_processor(&vocabulary, &special),
        "decoder": sections.decoder,
    });
    let large = [
        ("added_tokens", added::tokens(&vocabulary).into()),
        ("model", sections.model),
    ];
    Ok(with(small, large))
}

/// An object with further fields. The macro `json!` would copy what has a value for each token.
fn with<const N: usize>(mut object: Value, fields: [(&str, Value); N]) -> Value {
    if let Value::Object(map) = &mut object {
        map.extend(fields.map(|(name, value)| (name.to_owned(), value)));
    }
    object
}

fn unknown_model(found: &str) -> TokenizerError {
    TokenizerError::Unknown {
        key: MODEL,
        what: "kind of tokenizer",
        found: found.to_owned(),
        known: MODELS.join(", "),
    }
}
