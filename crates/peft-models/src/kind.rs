//! What a model is for, by its family.

use crate::decoder_classifier::DecoderClassifier;
use crate::decoder_config::DecoderFamily;
use crate::hf::ModelConfig;
use crate::vit_config::VitConfig;

/// Kinds of models, as their configurations tell them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelKind {
    /// An encoder that maps texts to classes or values; also of models that are not known, whose names the loader refuses.
    Texts,
    /// A decoder as a language model.
    Causal,
    /// A decoder with a classification head, by the class that the configuration names.
    DecoderTexts,
    /// Images to classes.
    Images,
}

impl ModelKind {
    /// By `model_type`, and for decoders by `architectures`.
    #[must_use]
    pub fn of(config: &ModelConfig) -> Self {
        match config.model_type() {
            VitConfig::MODEL_TYPE => Self::Images,
            known if DecoderFamily::by_type(known).is_some() => {
                if DecoderClassifier::is_meant(config) {
                    Self::DecoderTexts
                } else {
                    Self::Causal
                }
            }
            _ => Self::Texts,
        }
    }
}
