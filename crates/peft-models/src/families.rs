//! Every family, and the one that a configuration is of.

use crate::decoder_config::DecoderFamily;
use crate::encoder_family::Family;
use crate::error::ModelError;
use crate::hf::ModelConfig;
use crate::vit_config::VitConfig;
use crate::{bert, decoders, distilbert, roberta};

/// Every encoder family.
pub static FAMILIES: [&Family; 3] = [&bert::FAMILY, &roberta::FAMILY, &distilbert::FAMILY];

/// Every decoder family.
pub static DECODERS: [&DecoderFamily; 10] = [
    &decoders::llama::FAMILY,
    &decoders::gemma::FAMILY,
    &decoders::gemma2::FAMILY,
    &decoders::gemma3::FAMILY,
    &decoders::gemma3::MULTIMODAL,
    &decoders::phi3::FAMILY,
    &decoders::smollm3::FAMILY,
    &decoders::granite::FAMILY,
    &decoders::olmo2::FAMILY,
    &decoders::gpt2::FAMILY,
];

impl Family {
    /// The family of a configuration.
    ///
    /// # Errors
    /// [`ModelError::UnsupportedModel`], naming the type and the supported ones; [`ModelError::UnsupportedOption`] for
    /// quantised weights.
    pub fn of(config: &ModelConfig) -> Result<&'static Self, ModelError> {
        let family = Self::by_type(config.model_type()).ok_or_else(|| unsupported(config))?;
        config.require(
            "quantization_config",
            |_| false,
            "weights that are not quantised",
        )?;
        config.require("is_encoder_decoder", |value| value == false, "false")?;
        config.require("is_decoder", |value| value == false, "false")?;
        config.require("add_cross_attention", |value| value == false, "false")?;
        config.require(
            "position_embedding_type",
            |value| value == "absolute",
            "absolute",
        )?;
        config.require(
            "pruned_heads",
            |value| value.as_object().is_some_and(serde_json::Map::is_empty),
            "no pruned heads",
        )?;
        Ok(family)
    }

    /// The family of a `model_type`.
    #[must_use]
    pub fn by_type(model_type: &str) -> Option<&'static Self> {
        FAMILIES
            .into_iter()
            .find(|family| family.model_types.contains(&model_type))
    }
}

impl DecoderFamily {
    /// The family of a configuration.
    ///
    /// # Errors
    /// [`ModelError::UnsupportedModel`], naming the type and the supported ones; [`ModelError::UnsupportedOption`] for
    /// quantised weights.
    pub fn of(config: &ModelConfig) -> Result<&'static Self, ModelError> {
        let family = Self::by_type(config.model_type()).ok_or_else(|| unsupported(config))?;
        for field in ["quantization_config", "quantization"] {
            config.require(field, |_| false, "weights that are not quantised")?;
        }
        config.require("add_cross_attention", |value| value == false, "false")?;
        Ok(family)
    }

    /// The family of a `model_type`.
    #[must_use]
    pub fn by_type(model_type: &str) -> Option<&'static Self> {
        DECODERS
            .into_iter()
            .find(|family| family.model_types.contains(&model_type))
    }
}

impl VitConfig {
    /// Reads a configuration of `model_type` `vit`.
    ///
    /// # Errors
    /// [`ModelError::UnsupportedModel`] for another type, and for fields that are absent, malformed or contradict each other.
    pub fn read(config: &ModelConfig) -> Result<Self, ModelError> {
        if config.model_type() != Self::MODEL_TYPE {
            return Err(unsupported(config));
        }
        Self::from_fields(config)
    }
}

/// Default `target_modules` of a `model_type`, as in PEFT; `None` where the user must name them.
#[must_use]
pub fn default_targets(model_type: &str) -> Option<&'static [&'static str]> {
    let decoder = || DecoderFamily::by_type(model_type).map(|family| family.default_targets);
    Family::by_type(model_type)
        .map(|family| family.default_targets)
        .or_else(decoder)
}

/// The error for a model of no family, which names all of them.
fn unsupported(config: &ModelConfig) -> ModelError {
    let encoders = FAMILIES.iter().flat_map(|family| family.model_types);
    let decoders = DECODERS.iter().flat_map(|family| family.model_types);
    let listed = |types: Vec<&str>| types.join(", ");
    ModelError::UnsupportedModel {
        path: config.path().to_path_buf(),
        model_type: config.model_type().to_owned(),
        supported: format!(
            "encoders {}; decoders {}; images {}",
            listed(encoders.copied().collect()),
            listed(decoders.copied().collect()),
            VitConfig::MODEL_TYPE
        ),
    }
}
