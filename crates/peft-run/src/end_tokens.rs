//! The tokens that end a text: those that a model stops at, and the one that texts to learn from end with.

use peft_models::ModelConfig;
use peft_train::data::TextTokenizer;
use serde_json::Value;

use crate::Result;
use crate::companions::Companions;

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
    /// Those of a model and of what stands beside it and its adapters.
    ///
    /// # Errors
    /// When one of the files is no JSON.
    pub fn read(
        companions: &Companions,
        config: &ModelConfig,
        tokenizer: &TextTokenizer,
    ) -> Result<Self> {
        let mut stops = ids(config.raw().get(ID));
        if let Some((_, generation)) = companions.generation()? {
            stops.extend(ids(generation.get(ID)));
        }
        let fields = companions.tokens()?;
        let named = fields.get("eos_token");
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
