//! Which base model is opened, and how.

use std::path::Path;

use peft_models::{Contents, Kept, ModelConfig, Storage};

use crate::Result;

/// Fields of config.json that hold dropout probabilities of the base model.
const DROPOUTS: &[&str] = &[
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "classifier_dropout",
    "dropout",
    "attention_dropout",
    "seq_classif_dropout",
    "embd_pdrop",
    "attn_pdrop",
    "resid_pdrop",
];

/// A base model's folder, with what is decided about it before it is read.
#[derive(Debug, Clone, Copy)]
pub struct Base<'a> {
    /// The folder.
    pub dir: &'a Path,
    /// Replaces every dropout probability of the model.
    pub dropout: Option<f64>,
    /// How the matrices are read.
    pub kept: Kept,
}

/// As the folder says, frozen weights as it has them.
impl<'a> From<&'a Path> for Base<'a> {
    fn from(dir: &'a Path) -> Self {
        Self {
            dir,
            dropout: None,
            kept: Storage::Stored.into(),
        }
    }
}

impl<'a> Base<'a> {
    /// The same with its weights kept so, where anything was said.
    #[must_use]
    pub fn keeping(mut self, storage: Option<Storage>) -> Self {
        self.kept.storage = storage.unwrap_or(self.kept.storage);
        self
    }

    /// The same, of whose matrices nothing is read but the sizes: for looking at layers, also of a model that is too large to be read.
    #[must_use]
    pub fn sizes_alone(mut self) -> Self {
        self.kept.contents = Contents::Sizes;
        self
    }

    /// The configuration that the model is built by.
    ///
    /// # Errors
    /// As [`ModelConfig::read`].
    pub fn configuration(&self) -> Result<ModelConfig> {
        let mut config = ModelConfig::read(self.dir)?.keeping(self.kept);
        if let Some(dropout) = self.dropout {
            let known: Vec<&str> = (DROPOUTS.iter().copied())
                .filter(|field| config.raw().contains_key(*field))
                .collect();
            for field in known {
                config = config.with_field(field, dropout.into());
            }
        }
        Ok(config)
    }
}
