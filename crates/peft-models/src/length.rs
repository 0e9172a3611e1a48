//! The longest text that a model takes, from its `config.json` alone.

use crate::decoder_config::DecoderFamily;
use crate::encoder_family::Family;
use crate::error::ModelError;
use crate::hf::ModelConfig;
use crate::kind::ModelKind;

/// Most tokens of a text; none for a model of images.
///
/// # Errors
/// An unsupported family or a field that cannot be read.
pub fn max_length(config: &ModelConfig) -> Result<Option<usize>, ModelError> {
    Ok(match ModelKind::of(config) {
        ModelKind::Texts => Some((Family::of(config)?.read)(config)?.max_length()),
        ModelKind::Causal | ModelKind::DecoderTexts => {
            Some((DecoderFamily::of(config)?.read)(config)?.max_positions)
        }
        ModelKind::Images => None,
    })
}
