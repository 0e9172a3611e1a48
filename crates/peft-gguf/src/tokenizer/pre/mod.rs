//! The rules that cut texts into words before bytes are merged, by the name that a file gives.

mod patterns;
mod rules;

use serde_json::{Value, json};

use super::{MODEL, TokenizerError};
use crate::Metadata;
use rules::{RULES, Rule};

const PRE: &str = "tokenizer.ggml.pre";

/// One step on the way from a text to words; each cuts the pieces of the one before.
#[derive(Clone, Copy)]
enum Step {
    /// What matches is a piece of its own, as is what stands between.
    Split(&'static str),
    /// Numbers are pieces of their own, digit by digit or whole.
    Digits { single: bool },
    /// Bytes in GPT-2's spelling, of the words of GPT-2's rule.
    GptWords,
    /// Bytes in GPT-2's spelling.
    Bytes,
}

/// The rule of a file.
pub(super) struct Words(&'static Rule);

impl Words {
    pub(super) fn read(metadata: &Metadata) -> Result<Self, TokenizerError> {
        let name = metadata.text(PRE)?;
        let found = RULES.iter().find(|rule| rule.names.contains(&name));
        found.map(Self).ok_or_else(|| {
            let known: Vec<&str> = RULES.iter().flat_map(|rule| rule.names).copied().collect();
            TokenizerError::Unknown {
                key: PRE,
                what: "rule that cuts texts into words",
                found: name.to_owned(),
                known: known.join(", "),
            }
        })
    }

    /// Whether a word that is a token is one, though no merges lead to it.
    pub(super) fn ignores_merges(&self) -> bool {
        self.0.ignores_merges
    }

    pub(super) fn normalizer(&self) -> Value {
        match self.0.nfc {
            true => json!({ "type": "NFC" }),
            false => Value::Null,
        }
    }

    pub(super) fn pre_tokenizer(&self) -> Value {
        let steps: Vec<Value> = self.0.steps.iter().copied().map(Step::to_json).collect();
        json!({ "type": "Sequence", "pretokenizers": steps })
    }
}

impl Step {
    fn to_json(self) -> Value {
        let bytes = |words: bool| {
            json!({
                "type": "ByteLevel",
                "add_prefix_space": false,
                "trim_offsets": true,
                "use_regex": words,
            })
        };
        match self {
            Self::Split(pattern) => json!({
                "type": "Split",
                "pattern": { "Regex": pattern },
                "behavior": "Isolated",
                "invert": false,
            }),
            Self::Digits { single } => json!({ "type": "Digits", "individual_digits": single }),
            Self::GptWords => bytes(true),
            Self::Bytes => bytes(false),
        }
    }
}

/// Whether texts get the token for their beginning where the file does not say: only of some families of byte-level BPE.
pub(super) fn adds_bos(metadata: &Metadata) -> Result<bool, TokenizerError> {
    match metadata.text(MODEL)? {
        "gpt2" => Ok(Words::read(metadata)?.0.adds_bos),
        _ => Ok(false),
    }
}
