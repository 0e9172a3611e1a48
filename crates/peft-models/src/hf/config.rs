//! `config.json`: the raw map, and a typed view of what all families have in common.

use std::path::{Path, PathBuf};

use peft_core::file::input::{CONFIG_LIMIT, read_plain_text};
use peft_core::file::require_finished;
use serde_json::{Map, Value, json};

mod labels;
mod within;

use super::adapter_folder::refuse_adapter;
use crate::error::ModelError;
use crate::packed::Kept;
use labels::unnamed;

/// A model configuration: every field as it stands in the file, plus typed access with errors that name file and field.
#[derive(Debug, Clone)]
pub struct ModelConfig {
    path: PathBuf,
    raw: Map<String, Value>,
    /// The file, where these are the fields of a language model inside another.
    whole: Option<Map<String, Value>>,
    model_type: String,
    architectures: Vec<String>,
    labels: Vec<String>,
    pub(super) kept: Kept,
}

impl ModelConfig {
    /// Reads `config.json` of a model folder.
    ///
    /// # Errors
    /// [`ModelError::AdapterFolder`], [`ModelError::Io`], [`ModelError::Json`], or [`ModelError::Field`] when `model_type`, `architectures` or the
    /// labels are absent or malformed.
    pub fn read(dir: &Path) -> Result<Self, ModelError> {
        require_finished(dir)?;
        let path = dir.join("config.json");
        if !path.exists() {
            refuse_adapter(dir)?;
        }
        let text =
            read_plain_text(&path, CONFIG_LIMIT).map_err(ModelError::io(&path, "reading"))?;
        Self::parse(&path, &text)
    }

    /// Parses the text of a configuration file; `path` is only used in messages.
    ///
    /// # Errors
    /// As [`ModelConfig::read`].
    pub fn parse(path: &Path, text: &str) -> Result<Self, ModelError> {
        let raw: Map<String, Value> =
            serde_json::from_str(text).map_err(|source| ModelError::Json {
                path: path.to_path_buf(),
                source,
            })?;
        let (raw, whole) = match within::language_model(&raw) {
            Some(fields) => (fields, Some(raw)),
            None => (raw, None),
        };
        let mut config = Self {
            path: path.to_path_buf(),
            raw,
            whole,
            model_type: String::new(),
            architectures: Vec::new(),
            labels: Vec::new(),
            kept: Kept::default(),
        };
        config.model_type = match config.present("model_type") {
            Some(Value::String(name)) => name.clone(),
            _ => return Err(config.field_error("model_type", "a string")),
        };
        config.architectures = config.read_architectures()?;
        config.labels = config.read_labels()?;
        Ok(config)
    }

    /// The file, for messages.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `model_type`, for example `bert`.
    #[must_use]
    pub fn model_type(&self) -> &str {
        &self.model_type
    }

    /// `architectures`, for example `["BertForSequenceClassification"]`; empty when absent.
    #[must_use]
    pub fn architectures(&self) -> &[String] {
        &self.architectures
    }

    /// Label names by id; two unnamed ones when the file says nothing, as in `transformers`.
    #[must_use]
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// Number of labels; 1 means regression.
    #[must_use]
    pub fn num_labels(&self) -> usize {
        self.labels.len()
    }

    /// Every field as it stands in the file; of a model of pictures and texts, those of its language model.
    #[must_use]
    pub fn raw(&self) -> &Map<String, Value> {
        &self.raw
    }

    /// What `config.json` says of it.
    #[must_use]
    pub fn to_file(&self) -> Value {
        let whole = self.whole.as_ref();
        Value::Object(whole.map_or_else(
            || self.raw.clone(),
            |whole| within::whole_with(whole, &self.raw),
        ))
    }

    /// The same configuration with other label names (`id2label`, `label2id`, `problem_type`).
    #[must_use]
    pub fn with_labels(mut self, labels: &[String]) -> Self {
        let numbered = || labels.iter().enumerate();
        let id2label: Map<_, _> = numbered()
            .map(|(id, name)| (id.to_string(), json!(name)))
            .collect();
        let label2id: Map<_, _> = numbered()
            .map(|(id, name)| (name.clone(), json!(id)))
            .collect();
        self.raw.insert("id2label".into(), Value::Object(id2label));
        self.raw.insert("label2id".into(), Value::Object(label2id));
        self.raw.remove("num_labels");
        if labels.len() != self.labels.len() {
            self.raw.remove("problem_type");
        }
        self.labels = labels.to_vec();
        self
    }

    /// The same configuration with `num_labels` unnamed labels, unless it has that many already.
    #[must_use]
    pub fn with_num_labels(self, num_labels: usize) -> Self {
        if self.labels.len() == num_labels {
            return self;
        }
        self.with_labels(&unnamed(num_labels))
    }

    /// The same configuration for another class of `transformers`.
    #[must_use]
    pub fn with_architecture(mut self, architecture: &str) -> Self {
        self.architectures = vec![architecture.to_owned()];
        self.raw
            .insert("architectures".into(), json!([architecture]));
        self
    }

    /// The same configuration with one field set, for example the element type of the weights.
    #[must_use]
    pub fn with_field(mut self, field: &str, value: Value) -> Self {
        self.raw.insert(field.to_owned(), value);
        self
    }

    /// A whole number that must be there.
    ///
    /// # Errors
    /// [`ModelError::Field`].
    pub fn usize(&self, field: &str) -> Result<usize, ModelError> {
        self.present(field)
            .and_then(Value::as_u64)
            .and_then(|value| usize::try_from(value).ok())
            .filter(|value| *value <= LARGEST)
            .ok_or_else(|| self.field_error(field, "a whole number from 0 to 12000000"))
    }

    /// A whole number larger than zero that must be there.
    ///
    /// # Errors
    /// [`ModelError::Field`].
    pub fn positive(&self, field: &str) -> Result<usize, ModelError> {
        match self.usize(field) {
            Ok(value) if value > 0 => Ok(value),
            _ => Err(self.field_error(field, "a whole number from 1 to 12000000")),
        }
    }

    /// A whole number, or `default` when absent or null.
    ///
    /// # Errors
    /// [`ModelError::Field`] when it is something else.
    pub fn usize_or(&self, field: &str, default: usize) -> Result<usize, ModelError> {
        self.present(field)
            .map_or(Ok(default), |_| self.usize(field))
    }

    /// A number, or `default` when absent or null.
    ///
    /// # Errors
    /// [`ModelError::Field`] when it is something else.
    pub fn f64_or(&self, field: &str, default: f64) -> Result<f64, ModelError> {
        match self.present(field) {
            None => Ok(default),
            Some(value) => value
                .as_f64()
                .ok_or_else(|| self.field_error(field, "a number")),
        }
    }

    /// A probability in `[0, 1)`, or `default` when absent or null.
    ///
    /// # Errors
    /// [`ModelError::Field`] when it is something else.
    pub fn probability_or(&self, field: &str, default: f64) -> Result<f64, ModelError> {
        let value = self.f64_or(field, default)?;
        if (0.0..1.0).contains(&value) {
            Ok(value)
        } else {
            Err(self.field_error(field, "a probability, at least 0 and below 1"))
        }
    }

    /// A number of blocks: larger than zero, and no larger than that of any model, so that a hostile file fills no memory.
    ///
    /// # Errors
    /// [`ModelError::Field`].
    pub fn layers(&self, field: &str) -> Result<usize, ModelError> {
        const MAX_LAYERS: usize = 10_000;
        match self.positive(field)? {
            layers if layers <= MAX_LAYERS => Ok(layers),
            _ => Err(self.field_error(field, "at most 10000")),
        }
    }

    /// `true` or `false`, or `default` when absent or null.
    ///
    /// # Errors
    /// [`ModelError::Field`] when it is something else.
    pub fn bool_or(&self, field: &str, default: bool) -> Result<bool, ModelError> {
        match self.present(field) {
            None => Ok(default),
            Some(value) => value
                .as_bool()
                .ok_or_else(|| self.field_error(field, "true or false")),
        }
    }

    /// A string, or `default` when absent or null.
    ///
    /// # Errors
    /// [`ModelError::Field`] when it is something else.
    pub fn str_or<'a>(&'a self, field: &str, default: &'a str) -> Result<&'a str, ModelError> {
        match self.present(field) {
            None => Ok(default),
            Some(value) => value
                .as_str()
                .ok_or_else(|| self.field_error(field, "a string")),
        }
    }

    /// Refuses the file when `field` is set to anything but `accepted` (absent and null are fine).
    ///
    /// # Errors
    /// [`ModelError::UnsupportedOption`], naming the field, its value and `supported`.
    pub fn require(
        &self,
        field: &str,
        accepted: impl FnOnce(&Value) -> bool,
        supported: &'static str,
    ) -> Result<(), ModelError> {
        match self.present(field) {
            Some(value) if !accepted(value) => Err(ModelError::UnsupportedOption {
                path: self.path.clone(),
                option: field.to_owned(),
                value: shortened(value),
                supported,
            }),
            _ => Ok(()),
        }
    }

    /// The value of a field that is there and not null.
    pub(crate) fn present(&self, field: &str) -> Option<&Value> {
        self.raw.get(field).filter(|value| !value.is_null())
    }

    pub(crate) fn field_error(&self, field: &str, expected: &'static str) -> ModelError {
        ModelError::Field {
            path: self.path.clone(),
            field: field.to_owned(),
            expected,
            found: self
                .raw
                .get(field)
                .map_or_else(|| "nothing".to_owned(), shortened),
        }
    }

    fn read_architectures(&self) -> Result<Vec<String>, ModelError> {
        let Some(value) = self.present("architectures") else {
            return Ok(Vec::new());
        };
        value
            .as_array()
            .and_then(|items| {
                items
                    .iter()
                    .map(|item| item.as_str().map(str::to_owned))
                    .collect()
            })
            .ok_or_else(|| self.field_error("architectures", "a list of strings"))
    }
}

/// More than any size or length of a model; what ten thousand layers of such sizes count up to is still a number.
pub(crate) const LARGEST: usize = 12_000_000;

/// A value for a message, cut short.
fn shortened(value: &Value) -> String {
    value.to_string().chars().take(80).collect()
}
