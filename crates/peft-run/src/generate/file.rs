//! What a `generation_config.json` says of a continuation.

use std::path::PathBuf;

use peft_models::generate::Constraints;
use serde_json::{Map, Value};

use crate::{Error, Result};

/// Fields that are applied whenever the file has them, with the number that changes nothing.
const APPLIED: [(&str, f64); 10] = [
    ("repetition_penalty", 1.0),
    ("no_repeat_ngram_size", 0.0),
    ("bad_words_ids", 0.0),
    ("min_length", 0.0),
    ("min_new_tokens", 0.0),
    ("suppress_tokens", 0.0),
    ("begin_suppress_tokens", 0.0),
    ("forced_eos_token_id", f64::NAN),
    ("stop_strings", 0.0),
    ("max_new_tokens", 0.0),
];

/// Fields that are not applied and change what comes out, with the number that changes nothing.
const NOT_APPLIED: [(&str, f64); 13] = [
    ("num_beams", 1.0),
    ("num_beam_groups", 1.0),
    ("penalty_alpha", 0.0),
    ("guidance_scale", 1.0),
    ("sequence_bias", 0.0),
    ("exponential_decay_length_penalty", 0.0),
    ("forced_bos_token_id", f64::NAN),
    ("force_words_ids", f64::NAN),
    ("constraints", f64::NAN),
    ("dola_layers", f64::NAN),
    ("watermarking_config", f64::NAN),
    ("max_time", f64::NAN),
    ("token_healing", 0.0),
];

/// As [`NOT_APPLIED`], where tokens are drawn.
const NOT_APPLIED_IN_DRAWING: [(&str, f64); 4] = [
    ("min_p", 0.0),
    ("typical_p", 1.0),
    ("epsilon_cutoff", 0.0),
    ("eta_cutoff", 0.0),
];

/// The fields of the file.
#[derive(Debug, Default)]
pub(super) struct GenerationFile {
    path: PathBuf,
    fields: Map<String, Value>,
}

impl From<(PathBuf, Map<String, Value>)> for GenerationFile {
    fn from((path, fields): (PathBuf, Map<String, Value>)) -> Self {
        Self { path, fields }
    }
}

impl GenerationFile {
    /// What may not come next.
    pub(super) fn constraints(&self) -> Result<Constraints> {
        Ok(Constraints {
            no_repeat_ngram: self.count("no_repeat_ngram_size")?.unwrap_or(0),
            bad_words: self.words("bad_words_ids")?,
            // A least number of new tokens comes before one of all tokens, as in Python.
            min_length: match self.count("min_new_tokens")? {
                Some(_) => 0,
                None => self.count("min_length")?.unwrap_or(0),
            },
            min_new_tokens: self.count("min_new_tokens")?.unwrap_or(0),
            suppressed: self.ids("suppress_tokens")?,
            suppressed_first: self.ids("begin_suppress_tokens")?,
            forced_end: self.ids("forced_eos_token_id")?.first().copied(),
        })
    }

    /// A number that fits.
    pub(super) fn number(
        &self,
        name: &str,
        fits: impl Fn(f64) -> bool,
        expected: &str,
    ) -> Result<Option<f64>> {
        let read = |value: &Value| value.as_f64().filter(|number| fits(*number));
        self.field(name, expected, read)
    }

    /// A whole number.
    pub(super) fn count(&self, name: &str) -> Result<Option<usize>> {
        let read = |value: &Value| value.as_u64().and_then(|count| usize::try_from(count).ok());
        self.field(name, "a whole number", read)
    }

    /// Texts; one or a list.
    pub(super) fn texts(&self, name: &str) -> Result<Vec<String>> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let read = |value: &Value| list(value, text);
        Ok(self
            .field(name, "a text or a list of texts", read)?
            .unwrap_or_default())
    }

    /// Token ids; one or a list.
    fn ids(&self, name: &str) -> Result<Vec<u32>> {
        let read = |value: &Value| list(value, id);
        Ok(self
            .field(name, "a token id or a list of them", read)?
            .unwrap_or_default())
    }

    fn words(&self, name: &str) -> Result<Vec<Vec<u32>>> {
        let read = |value: &Value| list(value, |word| list(word, id));
        Ok(self
            .field(name, "a list of lists of token ids", read)?
            .unwrap_or_default())
    }

    fn field<T>(
        &self,
        name: &str,
        expected: &str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(value) = self.fields.get(name).filter(|value| !value.is_null()) else {
            return Ok(None);
        };
        match read(value) {
            Some(read) => Ok(Some(read)),
            None => Err(Error::Field {
                path: self.path.clone(),
                field: name.to_owned(),
                expected: expected.to_owned(),
                found: value.to_string(),
            }),
        }
    }

    /// Says which fields are applied and which are not; a flag takes the place of a field.
    pub(super) fn say(&self, draws: bool, penalty_given: bool, length_given: bool) {
        let path = self.path.display();
        let given = |name: &str| {
            (name == "repetition_penalty" && penalty_given)
                || (name == "max_new_tokens" && length_given)
        };
        let applied = APPLIED.into_iter().filter(|(name, _)| !given(name));
        let applied: Vec<String> = applied
            .filter_map(|(name, neutral)| self.shown(name, neutral))
            .collect();
        if !applied.is_empty() {
            log::info!("as {path} says: {}", applied.join(", "));
        }
        let drawing = NOT_APPLIED_IN_DRAWING.into_iter().filter(|_| draws);
        let others = NOT_APPLIED.into_iter().chain(drawing);
        let others: Vec<String> = others
            .filter_map(|(name, neutral)| self.shown(name, neutral))
            .collect();
        if !others.is_empty() {
            log::warn!("{path}: not applied: {}", others.join(", "));
        }
    }

    /// Says that the file asks for drawing, which only a flag turns on.
    pub(super) fn say_sampling(&self) -> Result<()> {
        if self.fields.get("do_sample") != Some(&Value::Bool(true)) {
            return Ok(());
        }
        let temperature =
            self.number("temperature", |value| value >= 0.0, "0 or a larger number")?;
        let mut flags = format!("--temperature {}", temperature.unwrap_or(1.0));
        for (name, flag) in [("top_p", "--top-p"), ("top_k", "--top-k")] {
            if let Some(value) = self.fields.get(name).filter(|value| value.is_number()) {
                flags.push_str(&format!(" {flag} {value}"));
            }
        }
        log::info!(
            "{} asks for drawing tokens; here the likeliest one is taken each time unless you give {flags}",
            self.path.display()
        );
        Ok(())
    }

    /// A field and its value, if that changes anything.
    fn shown(&self, name: &str, neutral: f64) -> Option<String> {
        let value = self.fields.get(name)?;
        let nothing = match value {
            Value::Null | Value::Bool(false) => true,
            Value::Number(number) => number.as_f64() == Some(neutral),
            Value::Array(items) => items.is_empty(),
            Value::Object(fields) => fields.is_empty(),
            _ => false,
        };
        let text = value.to_string();
        let short: String = text.chars().take(60).collect();
        let dots = if short.len() < text.len() { ".." } else { "" };
        (!nothing).then(|| format!("{name} {short}{dots}"))
    }
}

fn id(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|id| u32::try_from(id).ok())
}

/// One item or a list of them.
fn list<T>(value: &Value, item: impl Fn(&Value) -> Option<T>) -> Option<Vec<T>> {
    match value {
        Value::Array(items) => items.iter().map(item).collect(),
        one => Some(vec![item(one)?]),
    }
}
