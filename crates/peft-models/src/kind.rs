//! What a model is for, by its family.

use crate::decoder_config::DecoderFamily;
use crate::hf::ModelConfig;
use crate::vit_config::VitConfig;

/// Kinds of models, as their configurations tell them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelKind {
    /// Texts to classes or values; also of models that are not known, whose names the loader refuses.
    Texts,
    /// A language model.
    Causal,
    /// Images to classes.
    Images,
}

impl ModelKind {
    /// By `model_type`.
    #[must_use]
    pub fn of(config: &ModelConfig) -> Self {
        match config.model_type() {
            VitConfig::MODEL_TYPE => Self::Images,
            known if DecoderFamily::by_type(known).is_some() => Self::Causal,
            _ => Self::Texts,
        }
    }
}
