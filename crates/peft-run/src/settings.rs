//! The run file: every setting of a training run, from TOML, flags and `--set`.

mod effect;
mod keys;
mod names;
mod precondition;
mod procedures;
mod prune;
mod task;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use peft_core::BiasTraining;
use peft_prune::lora_drop::LORA_DROP;
use peft_train::TrainOptions;
use peft_train::data::{Encoding, Format, Quoting, Roles};
use peft_train::metric::Metric;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use keys::{not_finite, unknown_keys};
pub use keys::{parse_setting, set};
pub use names::Names;
pub use precondition::PreconditionConfig;
pub use procedures::ProcedureConfig;
pub use prune::{PruneConfig, Start, When, check_sample};
pub use task::TaskKind;

/// Tokens of a text where there is none to be measured.
pub const USUAL_LENGTH: usize = 128;

/// A training run.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunConfig {
    /// What the model is trained for.
    pub task: TaskKind,
    /// Folder of the base model in the Hugging Face layout, or a repository of the hub.
    pub model: PathBuf,
    /// Where the files of the repository are, when `model` is one.
    #[serde(skip)]
    pub fetched: Option<PathBuf>,
    /// Run directory.
    pub out: PathBuf,
    /// Where to compute: `auto`, `flex`, `wgpu:0`, ...
    pub device: String,
    /// Metrics to report; the first one compares models.
    pub metrics: Vec<Metric>,
    /// The label that metrics of one label (f1, precision, recall) are of; of two labels else the second.
    pub positive: Option<String>,
    /// Dropout of the base model while training; without it, what its config.json says.
    pub base_dropout: Option<f64>,
    /// Training and validation data.
    pub data: DataConfig,
    /// What trains.
    pub adapter: AdapterConfig,
    /// For lora-drop: how it is found out which layers share.
    pub prune: PruneConfig,
    /// How it trains.
    pub train: TrainOptions,
    /// What gradients of low-rank pairs become before the optimizer takes them.
    pub precondition: PreconditionConfig,
    /// What else steers training.
    pub procedures: ProcedureConfig,
}

impl Default for RunConfig {
    fn default() -> Self {
        Self {
            task: TaskKind::SeqCls,
            model: PathBuf::new(),
            fetched: None,
            out: PathBuf::new(),
            device: "auto".into(),
            metrics: vec![],
            positive: None,
            base_dropout: None,
            data: DataConfig::default(),
            adapter: AdapterConfig::default(),
            prune: PruneConfig::default(),
            train: TrainOptions::default(),
            precondition: PreconditionConfig::default(),
            procedures: ProcedureConfig::default(),
        }
    }
}

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
    /// Encoding of a text without a byte order mark, where it is none of UTF-8.
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

    fn check(&self) -> Result<()> {
        if let Some(share) = self.sample {
            check_sample("data.sample", share)?;
        }
        match self.valid_share {
            Some(share) if !(share > 0.0 && share <= 0.5) => bail!(crate::Usage(format!(
                "data.valid_share: expected a share above 0 and up to 0.5, found {share}"
            ))),
            _ => Ok(()),
        }
    }
}

/// What trains: an adapter method, `head` alone, or the `full` model.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdapterConfig {
    /// Identifier of the method, `head` or `full`.
    pub method: String,
    /// Rank where no pattern says otherwise.
    pub rank: usize,
    /// Alpha where no pattern says otherwise; twice the rank when absent.
    pub alpha: Option<f64>,
    /// Adapted modules; the architecture's defaults when absent.
    pub targets: Option<Names>,
    /// Whether a target that matches no layer is an error rather than a warning.
    pub strict: bool,
    /// Modules left out.
    pub exclude: Option<Names>,
    /// Indices of the layers to adapt; all when absent.
    pub layers: Option<Vec<usize>>,
    /// Name of the list that layer indices count, for example `layer`.
    pub layers_pattern: Vec<String>,
    /// Path pattern to rank, first match wins.
    pub rank_pattern: indexmap::IndexMap<String, usize>,
    /// Path pattern to alpha, first match wins.
    pub alpha_pattern: indexmap::IndexMap<String, f64>,
    /// Modules trained as a whole; the task's head when absent.
    pub modules_to_save: Option<Vec<String>>,
    /// Biases of the base that train along: none, all, or those of adapted layers (lora_only).
    pub bias: BiasTraining,
    /// Adapter folder whose values the adapter starts with, and whose settings it has where no other is given.
    pub start: Option<PathBuf>,
    /// For a mixture: LoRA folders that its experts start as, one each from the first.
    pub experts_from: Vec<PathBuf>,
    /// The method's own options.
    pub options: Map<String, Value>,
}

impl Default for AdapterConfig {
    fn default() -> Self {
        Self {
            method: "lora".into(),
            rank: 8,
            alpha: None,
            targets: None,
            strict: false,
            exclude: None,
            layers: None,
            layers_pattern: vec![],
            rank_pattern: indexmap::IndexMap::new(),
            alpha_pattern: indexmap::IndexMap::new(),
            modules_to_save: None,
            bias: BiasTraining::None,
            start: None,
            experts_from: vec![],
            options: Map::new(),
        }
    }
}

impl RunConfig {
    /// Reads a run file, if there is one, and lays `settings` (dotted key, value) over it, later ones winning.
    ///
    /// # Errors
    /// As [`Self::table`] and [`Self::of_table`].
    pub fn load(file: Option<&Path>, settings: &[(String, toml::Value)]) -> Result<Self> {
        Self::of_table(Self::table(file, settings)?)
    }

    /// What is set by a run file, if there is one, and by `settings` over it, unchecked.
    ///
    /// # Errors
    /// A file that cannot be read or is no TOML, a key that is none.
    pub fn table(file: Option<&Path>, settings: &[(String, toml::Value)]) -> Result<toml::Table> {
        let mut table = match file {
            None => toml::Table::new(),
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .with_context(|| format!("cannot read run file {}", path.display()))?;
                text.parse()
                    .with_context(|| format!("run file {}", path.display()))?
            }
        };
        for (key, value) in settings {
            set(&mut table, key, value.clone())?;
        }
        Ok(table)
    }

    /// A run by what is set, everything else as usual.
    ///
    /// # Errors
    /// Unknown settings, values that are none, settings that have no effect beside the others.
    pub fn of_table(table: toml::Table) -> Result<Self> {
        let known = serde_json::to_value(Self::default()).context("listing the known settings")?;
        let unknown = unknown_keys(&toml::Value::Table(table.clone()), &known, "");
        if !unknown.is_empty() {
            bail!(crate::Usage(format!(
                "unknown settings:\n{}",
                unknown.join("\n")
            )));
        }
        let table = toml::Value::Table(table);
        if let Some(key) = not_finite(&table, "") {
            bail!(crate::Usage(format!(
                "setting `{key}`: expected a finite number, found NaN or infinity"
            )));
        }
        let config: Self = table.try_into().context("in the settings of the run")?;
        config.train.check()?;
        config.precondition.check()?;
        config.steering()?;
        if config.adapter.method == LORA_DROP.id {
            config.prune.check()?;
        }
        config.data.check()?;
        effect::check(&config)?;
        Ok(config)
    }

    /// The same with other settings laid over it (dotted key, value).
    ///
    /// # Errors
    /// As [`Self::of_table`].
    pub fn with(&self, settings: &[(String, toml::Value)]) -> Result<Self> {
        let mut table: toml::Table = self.to_toml()?.parse()?;
        for (key, value) in settings {
            set(&mut table, key, value.clone())?;
        }
        let config: Self = toml::Value::Table(table).try_into()?;
        Ok(Self {
            fetched: self.fetched.clone(),
            ..config
        })
    }

    /// Folder of the base model's files.
    pub fn model_dir(&self) -> &Path {
        self.fetched.as_ref().unwrap_or(&self.model)
    }

    /// What files call the base model: the repository without its revision, or the folder.
    pub fn base_name(&self) -> String {
        let name = self.model.display().to_string();
        match (&self.fetched, name.split_once('@')) {
            (Some(_), Some((repository, _))) => repository.to_owned(),
            _ => name,
        }
    }

    /// The commit of the repository that the base model was fetched from: the name of its folder in the cache.
    pub fn commit(&self) -> Option<String> {
        let name = self.fetched.as_ref()?.file_name()?;
        Some(name.to_string_lossy().into_owned())
    }

    /// Alpha where no pattern says otherwise.
    pub fn alpha(&self) -> f64 {
        self.adapter.alpha.unwrap_or(2.0 * self.adapter.rank as f64)
    }

    /// The run file that repeats this run.
    ///
    /// # Errors
    /// When a value cannot be written as TOML.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self).context("writing the run file")
    }
}

#[cfg(test)]
mod tests;
