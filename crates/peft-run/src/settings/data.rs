//! The settings of a run's data.

use std::path::PathBuf;

use peft_train::data::{Encoding, Format, Quoting, Roles};
use serde::{Deserialize, Serialize};

use super::check_sample;
use crate::{Error, Result};

/// Where examples come from and how they are read.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataConfig {
    /// Training file: CSV, TSV, JSONL or JSON; plain text for causal-lm; for image-cls a folder per class, a table of pixels or idx.
    pub train: PathBuf,
    /// Validation file.
    pub valid: Option<PathBuf>,
    /// Share of the training examples to set aside and judge by, instead of a validation file.
    pub valid_share: Option<f64>,
    /// Format, where the extension does not tell.
    pub format: Option<Format>,
    /// What a double quote means in CSV and TSV.
    pub quoting: Quoting,
    /// What stands between the cells of CSV and TSV, where the file does not tell.
    pub separator: Option<char>,
    /// Encoding of a text without a byte order mark, where it is not UTF-8.
    pub encoding: Option<Encoding>,
    /// Column names of a file without a header, in their order; or NAME=COLUMN for columns of a header.
    pub columns: Option<Vec<String>>,
    /// Whether the first row of CSV and TSV is a header, where the file does not tell.
    pub header: Option<bool>,
    /// Columns of a file without a header, where nothing else is said: those of the run that made the adapter.
    #[serde(skip)]
    pub columns_of_run: Option<Vec<String>>,
    /// (name, column): what the run that made the adapter called columns, for those that are there.
    #[serde(skip)]
    pub renamed_in_run: Vec<(String, String)>,
    /// Which columns hold text, second text and target, where they are named unusually.
    pub roles: Roles,
    /// Largest number of tokens of an example; when absent, as many as the model takes, at most [`peft_train::data::UNASKED_LENGTH`].
    pub max_length: Option<usize>,
    /// Uses only so many training examples, from the beginning of the file.
    pub limit: Option<usize>,
    /// Uses only this share of the training examples, the same of each label.
    pub sample: Option<f64>,
    /// For causal-lm: whether several texts share a row, unseen by each other; by default plain texts do, prompts do not.
    pub packing: Option<bool>,
    /// For causal-lm: whether prompts are learnt too, rather than completions alone.
    pub train_on_prompt: bool,
    /// For causal-lm: prompts that the model continues after every evaluation, on stderr and in the log.
    pub sample_prompts: Vec<String>,
    /// For causal-lm: how many tokens each of them is continued by, at most.
    pub sample_tokens: usize,
    /// For causal-lm: the date, `YYYY-MM-DD`, for chat templates that write one; today's when absent.
    pub today: Option<String>,
    /// Folder whose tokenizer and chat template are used; when absent those beside the adapter that the run starts from, or the model's.
    pub tokenizer: Option<PathBuf>,
}

impl Default for DataConfig {
    fn default() -> Self {
        Self {
            train: PathBuf::new(),
            valid: None,
            valid_share: None,
            format: None,
            quoting: Quoting::Auto,
            separator: None,
            encoding: None,
            columns: None,
            header: None,
            columns_of_run: None,
            renamed_in_run: vec![],
            roles: Roles::default(),
            max_length: None,
            limit: None,
            sample: None,
            packing: None,
            train_on_prompt: false,
            sample_prompts: vec![],
            sample_tokens: 50,
            today: None,
            tokenizer: None,
        }
    }
}

impl DataConfig {
    /// Whether a run is evaluated at all.
    pub fn has_validation(&self) -> bool {
        self.valid.is_some() || self.valid_share.is_some()
    }

    pub(super) fn check(&self) -> Result<()> {
        if let Some(share) = self.sample {
            check_sample("data.sample", share)?;
        }
        match self.valid_share {
            Some(share) if !(share > 0.0 && share <= 0.5) => Err(Error::Usage(format!(
                "data.valid_share: expected a share above 0 and up to 0.5, found {share}"
            ))),
            _ => Ok(()),
        }
    }
}
