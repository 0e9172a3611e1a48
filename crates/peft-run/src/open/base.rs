//! Which base model is opened, and how.

use std::path::Path;

use anyhow::Result;
use peft_models::{ModelConfig, Storage};

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
    /// What the frozen weights are kept in.
    pub storage: Storage,
}

/// As the folder says, frozen weights as it has them.
impl<'a> From<&'a Path> for Base<'a> {
    fn from(dir: &'a Path) -> Self {
        Self {
            dir,
            dropout: None,
            storage: Storage::Stored,
        }
    }
}

impl<'a> Base<'a> {
    /// The same with its weights kept so, where anything was said.
    #[must_use]
    pub fn keeping(self, storage: Option<Storage>) -> Self {
        Self {
            storage: storage.unwrap_or(self.storage),
            ..self
        }
    }

    /// The configuration that the model is built by.
    ///
    /// # Errors
    /// As [`ModelConfig::read`].
    pub fn configuration(&self) -> Result<ModelConfig> {
        let mut config = ModelConfig::read(self.dir)?.with_storage(self.storage);
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
