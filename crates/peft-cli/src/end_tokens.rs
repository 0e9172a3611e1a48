//! The tokens that end a text: those that a model stops at, and the one that texts to learn from end with.

use std::path::Path;

use anyhow::{Context, Result};
use peft_models::ModelConfig;
use peft_train::data::TextTokenizer;
use serde_json::Value;

/// How the maker of a model wants texts to be continued.
const GENERATION: &str = "generation_config.json";
/// What the tokenizer's special tokens are called.
const TOKENIZER: &str = "tokenizer_config.json";
const ID: &str = "eos_token_id";

/// The tokens of a model that end a text.
#[derive(Debug, Clone)]
pub struct EndTokens {
    /// What a text to learn from ends with: the tokenizer's `eos_token`, as in Python, or else the first one that the model stops at.
    pub learnt: Option<u32>,
    /// What the model stops at: `eos_token_id` of `config.json` and of `generation_config.json`, which may name more than one, and what
    /// was learnt.
    pub stops: Vec<u32>,
}

impl EndTokens {
    /// Those of a model folder.
    ///
    /// # Errors
    /// When one of the files is no JSON.
    pub fn read(model: &Path, config: &ModelConfig, tokenizer: &TextTokenizer) -> Result<Self> {
        let mut stops = ids(config.raw().get(ID));
        if let Some(generation) = json(&model.join(GENERATION))? {
            stops.extend(ids(generation.get(ID)));
        }
        let fields = json(&model.join(TOKENIZER))?;
        let named = fields.as_ref().and_then(|fields| fields.get("eos_token"));
        let text = named.and_then(|token| token.as_str().or_else(|| token["content"].as_str()));
        let learnt = text
            .and_then(|text| tokenizer.inner().token_to_id(text))
            .or(stops.first().copied());
        stops.extend(learnt);
        stops.sort_unstable();
        stops.dedup();
        Ok(Self { learnt, stops })
    }
}

/// One number or a list.
fn ids(field: Option<&Value>) -> Vec<u32> {
    let one = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
    match field {
        Some(Value::Array(ids)) => ids.iter().filter_map(one).collect(),
        Some(id) => one(id).into_iter().collect(),
        None => vec![],
    }
}

/// The content of a file, if it is there.
fn json(path: &Path) -> Result<Option<Value>> {
    if !path.exists() {
        return Ok(None);
    }
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let value = serde_json::from_str(&text);
    Ok(Some(
        value.with_context(|| format!("in {}", path.display()))?,
    ))
}
