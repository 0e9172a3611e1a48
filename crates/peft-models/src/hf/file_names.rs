//! What the writer of model folders needs to know of a family's names.

use super::config::ModelConfig;
use crate::causal_lm::HEAD;
use crate::decoder_config::DecoderFamily;
use crate::encoder_config::Family;
use crate::error::ModelError;

/// Names of a model with its head.
#[derive(Debug)]
pub(super) struct FileNames {
    /// Base prefix, without its dot.
    pub(super) prefix: &'static str,
    /// Paths of the head's layers.
    pub(super) head: Vec<&'static str>,
    /// The word table, without prefix, where the output layer is tied to it and files may hold it under either name.
    pub(super) tied: Option<String>,
}

impl FileNames {
    /// Those of the class that a configuration is for.
    ///
    /// # Errors
    /// An unsupported architecture.
    pub(super) fn of(config: &ModelConfig) -> Result<Self, ModelError> {
        if DecoderFamily::by_type(config.model_type()).is_none() {
            let family = Family::of(config)?;
            return Ok(Self {
                prefix: family.prefix,
                head: vec![family.head.dense, family.head.output],
                tied: None,
            });
        }
        let family = DecoderFamily::of(config)?;
        let tied = (family.read)(config)?.tied;
        Ok(Self {
            prefix: family.prefix,
            head: vec![HEAD],
            tied: tied.then(|| format!("{}.weight", family.words)),
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

    /// Whether a tensor of a file is the word table under the name of the output layer.
    pub(super) fn is_tied(&self, bare: &str) -> bool {
        self.tied.is_some() && bare.strip_suffix(".weight") == Some(HEAD)
    }
}
