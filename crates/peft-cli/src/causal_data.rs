//! Data files of a language model to rows of tokens.

use std::path::Path;

use anyhow::Result;
use peft_models::ModelConfig;
use peft_train::data::{
    CAUSAL_COLUMNS, ChatTemplate, RowOptions, TextTokenizer, TokenRows, table_rows, text_rows,
};
use peft_train::task::Prompts;

use crate::data;
use crate::run_config::DataConfig;

/// How the files of a run become rows.
#[derive(Debug)]
pub struct Files {
    data: DataConfig,
    tokenizer: TextTokenizer,
    chat: Option<ChatTemplate>,
    /// The tokens that end a text; the first one is what texts to learn from end with.
    ends: Vec<u32>,
}

impl Files {
    /// For the tokenizer and the chat template of a model folder.
    ///
    /// # Errors
    /// When the folder has no usable tokenizer, or a template that cannot be read.
    pub fn new(model: &Path, data: &DataConfig) -> Result<Self> {
        let config = ModelConfig::read(model)?;
        let data = DataConfig {
            max_length: data::fitting(&config, data.max_length)?,
            ..data.clone()
        };
        Ok(Self {
            tokenizer: data::tokenizer(model, data.max_length)?.unlimited()?,
            chat: match (ChatTemplate::load(model)?, &data.today) {
                (Some(template), Some(today)) => Some(template.on(today)?),
                (template, _) => template,
            },
            ends: end_tokens(&config),
            data,
        })
    }

    /// Prompts for the model, as they stand; no chat template is applied.
    ///
    /// # Errors
    /// When a prompt becomes no tokens.
    pub fn prompts(&self, texts: Vec<String>, max_new_tokens: usize) -> Result<Prompts> {
        let (tokenizer, stop) = (self.tokenizer.clone(), self.ends.clone());
        Ok(Prompts::new(texts, tokenizer, max_new_tokens, stop)?)
    }

    /// The rows of a file: a `.txt` is one plain text, anything else a table.
    ///
    /// # Errors
    /// Everything that is wrong with the file, with the place.
    pub fn rows(&self, path: &Path, limit: Option<usize>) -> Result<TokenRows> {
        let is_text = path
            .extension()
            .is_some_and(|end| end.eq_ignore_ascii_case("txt"));
        if is_text && self.data.format.is_none() {
            let mut rows = text_rows(path, &self.tokenizer, self.data.max_length)?;
            rows.rows.truncate(limit.unwrap_or(usize::MAX));
            return Ok(rows);
        }
        let wanted = CAUSAL_COLUMNS.map(str::to_owned).to_vec();
        let mut table = data::table_with(&self.data, path, wanted)?;
        table.rows.truncate(limit.unwrap_or(usize::MAX));
        let options = RowOptions {
            max_length: self.data.max_length,
            end: self.ends.first().copied(),
            packing: self.data.packing,
            train_on_prompt: self.data.train_on_prompt,
        };
        Ok(table_rows(
            &table,
            &self.tokenizer,
            self.chat.as_ref(),
            options,
        )?)
    }
}

/// The tokens that end a text, from `eos_token_id`: one number or a list.
#[must_use]
pub fn end_tokens(config: &ModelConfig) -> Vec<u32> {
    let one = |value: &serde_json::Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
    match config.raw().get("eos_token_id") {
        Some(serde_json::Value::Array(ids)) => ids.iter().filter_map(one).collect(),
        Some(id) => one(id).into_iter().collect(),
        None => vec![],
    }
}
