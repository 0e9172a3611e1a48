//! The run file: every setting of a training run, from TOML, flags and `--set`.

mod adapter;
mod data;
mod described;
mod effect;
mod keys;
mod names;
#[cfg(test)]
mod page;
mod procedures;
mod prune;
mod ready;
mod task;
mod template;

use std::path::{Path, PathBuf};

use peft_core::file::FileError;
use peft_core::file::input::{CONFIG_LIMIT, read_plain_text};
use peft_models::Storage;
use peft_prune::lora_drop::LORA_DROP;
use peft_train::TrainOptions;
use peft_train::metric::Metric;
use serde::{Deserialize, Serialize};

pub use adapter::AdapterConfig;
pub use data::DataConfig;
pub use described::comment;
use keys::{not_finite, unknown_keys};
pub use keys::{parse_setting, set};
pub use names::Names;
pub use procedures::ProcedureConfig;
pub use prune::{PruneConfig, check_sample};
pub use ready::ready;
pub use task::TaskKind;
pub use template::template;

use crate::error::Context;
use crate::open::Base;
use crate::precision::Precision;
use crate::{Error, Result};

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
    /// Where the files of a model folder are, when `model` is a repository or a GGUF file.
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
    /// What the frozen weights of the base model are kept in; absent: as its files have them.
    pub quantize: Option<Storage>,
    /// What the products of layers and of attention multiply.
    pub compute: Precision,
    /// Training and validation data.
    pub data: DataConfig,
    /// What trains.
    pub adapter: AdapterConfig,
    /// For lora-drop: how it is found out which layers share.
    pub prune: PruneConfig,
    /// How it trains.
    pub train: TrainOptions,
    /// What steers training beyond the loss and the optimizer.
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
            quantize: None,
            compute: Precision::default(),
            data: DataConfig::default(),
            adapter: AdapterConfig::default(),
            prune: PruneConfig::default(),
            train: TrainOptions::default(),
            procedures: ProcedureConfig::default(),
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
                let text = read_plain_text(path, CONFIG_LIMIT)
                    .map_err(FileError::io("read run file", path))?;
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
        let known = serde_json::to_value(Self::default())?;
        let unknown = unknown_keys(&toml::Value::Table(table.clone()), &known, "");
        if !unknown.is_empty() {
            return Err(Error::Usage(format!(
                "unknown settings:\n{}",
                unknown.join("\n")
            )));
        }
        let table = toml::Value::Table(table);
        if let Some(key) = not_finite(&table, "") {
            return Err(Error::Usage(format!(
                "setting `{key}`: expected a finite number, found NaN or infinity"
            )));
        }
        let config: Self = table.try_into().context("in the settings of the run")?;
        config.checked()
    }

    /// Refuses settings that do not go together.
    ///
    /// # Errors
    /// Values out of range, settings that have no effect beside the others.
    pub fn checked(self) -> Result<Self> {
        self.train.check()?;
        if self.adapter.method == LORA_DROP.id {
            self.prune.check()?;
        }
        self.data.check()?;
        effect::check(&self, &self.steering()?)?;
        Ok(self)
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

    /// The base model as the run opens it. What trains as a whole is f32.
    pub fn base(&self) -> Base<'_> {
        let storage = match self.adapter.method.as_str() {
            "full" => Some(Storage::F32),
            _ => self.quantize,
        };
        Base {
            dropout: self.base_dropout,
            ..Base::from(self.model_dir()).keeping(storage)
        }
    }

    /// What files call the base model: the repository without its revision, or the folder.
    pub fn base_name(&self) -> String {
        let name = self.model.display().to_string();
        match name.split_once('@') {
            Some((repository, _)) if self.repository().is_some() => repository.to_owned(),
            _ => name,
        }
    }

    /// The commit of the repository that the base model was fetched from: the name of its folder in the cache.
    pub fn commit(&self) -> Option<String> {
        let name = self.repository()?.file_name()?;
        Some(name.to_string_lossy().into_owned())
    }

    /// Where the files of the repository are, when `model` is one and no GGUF file.
    fn repository(&self) -> Option<&Path> {
        self.fetched.as_deref().filter(|_| !self.model.exists())
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
