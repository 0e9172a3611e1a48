//! Data files of a language model to rows of tokens.

use std::path::Path;

use anyhow::Result;
use peft_models::ModelConfig;
use peft_train::data::{
    CAUSAL_COLUMNS, ChatTemplate, RowOptions, TextTokenizer, TokenRows, table_rows, text_rows,
};
use peft_train::task::Prompts;

use crate::companions::Companions;
use crate::data;
use crate::end_tokens::EndTokens;
use crate::run_config::DataConfig;

/// How the files of a run become rows.
#[derive(Debug)]
pub struct Files {
    data: DataConfig,
    tokenizer: TextTokenizer,
    chat: Option<ChatTemplate>,
    ends: EndTokens,
}

impl Files {
    /// For the tokenizer and the chat template that stand beside a model.
    ///
    /// # Errors
    /// When there is no usable tokenizer, or a template that cannot be read.
    pub fn new(beside: &Companions, data: &DataConfig) -> Result<Self> {
        let config = ModelConfig::read(beside.model())?;
        let data = DataConfig {
            max_length: data::fitting(&config, data.max_length)?,
            ..data.clone()
        };
        let tokenizer = beside.tokenizer(&config, data.max_length)?.unlimited()?;
        Ok(Self {
            chat: match (beside.template()?, &data.today) {
                (Some(template), Some(today)) => Some(template.on(today)?),
                (template, _) => template,
            },
            ends: EndTokens::read(beside, &config, &tokenizer)?,
            tokenizer,
            data,
        })
    }

    /// Prompts for the model, as they stand; no chat template is applied.
    ///
    /// # Errors
    /// When a prompt becomes no tokens.
    pub fn prompts(&self, texts: Vec<String>, max_new_tokens: usize) -> Result<Prompts> {
        let (tokenizer, stop) = (self.tokenizer.clone(), self.ends.stops.clone());
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
            end: self.ends.learnt,
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
