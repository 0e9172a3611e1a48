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
pub(crate) struct Words(&'static Rule);

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

    /// The name of a rule that does to texts what these sections of a `tokenizer.json` do.
    pub(crate) fn name_of(
        normalizer: &Value,
        pre_tokenizer: &Value,
        ignores_merges: bool,
    ) -> Option<&'static str> {
        let given = (plain_steps(normalizer)?, plain_steps(pre_tokenizer)?);
        let fits = |rule: &&'static Rule| {
            let words = Words(rule);
            let own = (words.normalizer(), words.pre_tokenizer());
            rule.ignores_merges == ignores_merges
                && plain_steps(&own.0).as_ref() == Some(&given.0)
                && plain_steps(&own.1).as_ref() == Some(&given.1)
        };
        let rule = RULES.iter().find(fits)?;
        rule.names.first().copied()
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

/// The steps of a section, one after the other, without what has no effect on tokens: a sequence of one step is that step, and offsets are
/// no part of a token.
pub(crate) fn plain_steps(section: &Value) -> Option<Vec<Value>> {
    let list = ["pretokenizers", "normalizers"]
        .iter()
        .find_map(|key| section.get(key)?.as_array());
    match (section, list) {
        (Value::Null, _) => Some(Vec::new()),
        (_, Some(steps)) => {
            let steps: Option<Vec<Vec<Value>>> = steps.iter().map(plain_steps).collect();
            Some(steps?.concat())
        }
        (Value::Object(step), None) => {
            let mut step = step.clone();
            step.remove("trim_offsets");
            Some(vec![step.into()])
        }
        _ => None,
    }
}

/// Whether texts get the token for their beginning where the file does not say: only of some families of byte-level BPE.
pub(super) fn adds_bos(metadata: &Metadata) -> Result<bool, TokenizerError> {
    match metadata.text(MODEL)? {
        "gpt2" => Ok(Words::read(metadata)?.0.adds_bos),
        _ => Ok(false),
    }
}
