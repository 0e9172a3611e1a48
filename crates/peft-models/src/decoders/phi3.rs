//! Phi-3 and Phi-4 (Abdin et al. 2024, arXiv 2404.14219, 2412.08905): Llama's block with queries, keys and values in one layer, gate and up
//! in another, of which a part of each head may be turned.

use crate::decoder_config::{DecoderBlockNames, DecoderConfig, DecoderFamily, MlpNames};
use crate::error::ModelError;
use crate::hf::ModelConfig;
use crate::layers::RopeFields;

use super::llama::{BLOCK, LLAMA};
use super::usual::{ABSENT, Absent, usual};
use super::windows::windows;

/// Phi-3 and Phi-4.
pub(crate) static FAMILY: DecoderFamily = DecoderFamily {
    model_types: &["phi3"],
    block: DecoderBlockNames {
        projections: &["self_attn.qkv_proj"],
        mlp: MlpNames::GatedInOne(["mlp.gate_up_proj", "mlp.down_proj"]),
        ..BLOCK
    },
    default_targets: &["qkv_proj"],
    read,
    ..LLAMA
};

fn read(config: &ModelConfig) -> Result<DecoderConfig, ModelError> {
    let absent = Absent {
        eps: 1e-5,
        max_positions: 4096,
        ..ABSENT
    };
    // Its first files said "yarn" for what is LongRoPE now, so that the word tells nothing.
    let positions = RopeFields::of(config, absent.theta)?;
    if !matches!(positions.kind(), "default" | "longrope" | "su") {
        return Err(positions.unsupported("default, longrope"));
    }
    let usual = usual(config, absent)?;
    Ok(DecoderConfig {
        windows: windows(config, &vec![true; usual.layers], None)?,
        residual_dropout: config.probability_or("resid_pdrop", 0.0)?,
        ..usual
    })
}
