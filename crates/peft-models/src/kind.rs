//! What a model is for, by its family.

use crate::decoder_classifier::DecoderClassifier;
use crate::decoder_config::DecoderFamily;
use crate::encoder_family::Family;
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

/// Model types whose linear layers are `Conv1D` modules, of which files hold `[d_in, d_out]`, beyond the families here.
const CONV1D: [&str; 5] = [
    "gpt2",
    "openai-gpt",
    "imagegpt",
    "decision_transformer",
    "clvp",
];

/// Whether the files of a model hold the weights of its linear layers, but for heads, as `[d_in, d_out]`; `None` of a type that is not known.
#[must_use]
pub fn stores_transposed(model_type: &str) -> Option<bool> {
    if CONV1D.contains(&model_type) {
        return Some(true);
    }
    let known = model_type == VitConfig::MODEL_TYPE
        || DecoderFamily::by_type(model_type).is_some()
        || Family::by_type(model_type).is_some();
    known.then_some(false)
}

/// What a family calls its word table, below its body; `None` of models without words and of types that are not known.
#[must_use]
pub fn word_table(model_type: &str) -> Option<&'static str> {
    let decoder = DecoderFamily::by_type(model_type).map(|family| family.words);
    let encoder = || Family::by_type(model_type).map(|family| family.embeddings.words);
    decoder.or_else(encoder)
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
