//! Data files of a language model to rows of tokens.

use std::path::Path;

use peft_models::ModelConfig;
use peft_train::data::{
    CAUSAL_COLUMNS, ChatTemplate, DataAccount, RowLength, RowOptions, TextTokenizer, TokenRows,
    table_rows, text_rows,
};
use peft_train::task::Prompts;

use crate::Result;
use crate::companions::Companions;
use crate::data;
use crate::end_tokens::EndTokens;
use crate::settings::{DataConfig, RunConfig};

/// The rows of a run, with the account of its files.
#[derive(Debug)]
pub struct RunRows {
    /// How files become rows.
    pub files: Files,
    /// What is learnt from.
    pub train: TokenRows,
    /// What models are judged on.
    pub valid: Option<TokenRows>,
}

impl RunRows {
    /// Reads the files of a run.
    ///
    /// # Errors
    /// Everything that is wrong with a file, with the place.
    pub fn read(config: &RunConfig) -> Result<Self> {
        let files = Files::new(&Companions::of_run(config)?.announced(), &config.data)?;
        let mut train = files.rows(&config.data.train, config.data.limit)?;
        let mut valid = None;
        if let Some((learnt, judged)) = data::held_out(config, &vec![0; train.rows.len()])? {
            valid = Some(train.clone().subset(&judged, "rows to learn from")?);
            train = train.subset(&learnt, "rows set aside to judge by")?;
        }
        if let Some(ratio) = config.data.sample {
            let one_class = vec![0; train.rows.len()];
            let chosen = peft_prune::stratified(&one_class, ratio, config.train.seed);
            train = train.subset(&chosen, "rows left out by data.sample")?;
        }
        if let Some(path) = &config.data.valid {
            valid = Some(files.rows(path, None)?);
        }
        Ok(Self {
            files,
            train,
            valid,
        })
    }

    /// The account of both files.
    pub fn account(&self) -> DataAccount {
        DataAccount {
            train: self.train.account.clone(),
            valid: self.valid.as_ref().map(|valid| valid.account.clone()),
        }
    }
}

/// How the files of a run become rows.
#[derive(Debug)]
pub struct Files {
    data: DataConfig,
    length: RowLength,
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
        let asked = data.max_length;
        let fits = asked
            .map(|asked| data::fitting(&config, Some(asked)))
            .transpose()?;
        let tokenizer = beside.tokenizer(&config, fits.unwrap_or(usize::MAX))?;
        let tokenizer = tokenizer.unlimited()?;
        Ok(Self {
            chat: match (beside.template()?, &data.today) {
                (Some(template), Some(today)) => Some(template.on(today)?),
                (template, _) => template,
            },
            length: RowLength {
                asked,
                model: peft_models::max_length(&config)?,
            },
            ends: EndTokens::read(beside, &config, &tokenizer)?,
            tokenizer,
            data: data.clone(),
        })
    }

    /// The tokenizer of the model.
    pub fn tokenizer(&self) -> &TextTokenizer {
        &self.tokenizer
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
            let rows = text_rows(path, &self.tokenizer, self.length)?;
            let first: Vec<usize> = (0..rows.rows.len().min(limit.unwrap_or(usize::MAX))).collect();
            return Ok(rows.subset(&first, "rows beyond data.limit")?);
        }
        let wanted = CAUSAL_COLUMNS.map(str::to_owned).to_vec();
        let mut table = data::table_with(&self.data, path, wanted)?;
        table.rows.truncate(limit.unwrap_or(usize::MAX));
        let options = RowOptions {
            length: self.length,
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
