//! What the writer of model folders needs to know of a family's names.

use super::config::ModelConfig;
use crate::causal_lm::CausalLm;
use crate::decoder_classifier::DecoderClassifier;
use crate::decoder_config::DecoderFamily;
use crate::encoder_family::Family;
use crate::error::ModelError;
use crate::kind::ModelKind;
use crate::vit::ImageClassifier;

/// Names of a model with its head.
#[derive(Debug)]
pub(super) struct FileNames {
    /// Base prefix, without its dot.
    pub(super) prefix: &'static str,
    /// Paths of the head's layers.
    pub(super) head: Vec<&'static str>,
    /// The word table, without prefix, where the model has one.
    pub(super) words: Option<String>,
    /// The word table, without prefix, where the output layer is tied to it and files may hold it under either name.
    pub(super) tied: Option<String>,
}

impl FileNames {
    /// Those of the class that a configuration is for.
    ///
    /// # Errors
    /// An unsupported architecture.
    pub(super) fn of(config: &ModelConfig) -> Result<Self, ModelError> {
        Ok(match ModelKind::of(config) {
            ModelKind::Texts => {
                let family = Family::of(config)?;
                Self {
                    prefix: family.prefix,
                    head: vec![family.head.dense, family.head.output],
                    words: Some(format!("{}.weight", family.embeddings.words)),
                    tied: None,
                }
            }
            kind @ (ModelKind::Causal | ModelKind::DecoderTexts) => {
                let family = DecoderFamily::of(config)?;
                let tied = (family.read)(config)?.tied;
                let words = format!("{}.weight", family.words);
                let head = match kind {
                    ModelKind::Causal => CausalLm::HEAD,
                    _ => DecoderClassifier::HEAD,
                };
                Self {
                    prefix: family.prefix,
                    head: vec![head],
                    tied: tied.then(|| words.clone()),
                    words: Some(words),
                }
            }
            ModelKind::Images => Self {
                prefix: ImageClassifier::PREFIX,
                head: vec![ImageClassifier::HEAD],
                words: None,
                tied: None,
            },
        })
    }

    /// Whether a head tensor is part of this head rather than of another task's.
    pub(super) fn owns(&self, bare: &str) -> bool {
        let below = |path: &&str| {
            bare.strip_prefix(path)
                .is_some_and(|rest| rest.starts_with('.'))
        };
        self.head.iter().any(below)
    }

    /// Whether a tensor of a file is an output layer that this model does not have, its head being another one.
    pub(super) fn lacks(&self, stored: &str) -> bool {
        self.is_tied(stored) && !self.owns(stored)
    }

    /// Whether a tensor of a file is the word table under the name of the output layer.
    pub(super) fn is_tied(&self, bare: &str) -> bool {
        self.tied.is_some() && bare.strip_suffix(".weight") == Some(CausalLm::HEAD)
    }
}
