//! SmolLM3 (Hugging Face 2025): Llama without rotary positions in every fourth block (NoPE, arXiv 2501.18795).

use serde_json::Value;

use crate::decoder_config::{DecoderConfig, DecoderFamily};
use crate::error::ModelError;
use crate::hf::ModelConfig;

use super::llama::LLAMA;
use super::usual::{ABSENT, Absent, biases, usual};
use super::windows::{sliding, windows};

/// SmolLM3.
pub(crate) static FAMILY: DecoderFamily = DecoderFamily {
    model_types: &["smollm3"],
    read,
    ..LLAMA
};

fn read(config: &ModelConfig) -> Result<DecoderConfig, ModelError> {
    let absent = Absent {
        tied: true,
        theta: 2_000_000.0,
        max_positions: 32_768,
        ..ABSENT
    };
    let usual = usual(config, absent)?;
    let turns = turned(config, usual.layers)?;
    let sliding = match config.bool_or("use_sliding_window", false)? {
        true => sliding(config, usual.layers, |index| !turns[index])?,
        false => vec![false; usual.layers],
    };
    Ok(DecoderConfig {
        windows: windows(config, &sliding, None)?,
        rope_of: turns.iter().map(|turns| turns.then_some(0)).collect(),
        biases: biases(config)?,
        ..usual
    })
}

/// Whether each block has rotary positions: `no_rope_layers` has a 1 for those that do, whatever its name says.
fn turned(config: &ModelConfig, layers: usize) -> Result<Vec<bool>, ModelError> {
    const FIELD: &str = "no_rope_layers";
    let Some(value) = config.present(FIELD) else {
        let interval = match config.present("no_rope_layer_interval") {
            Some(_) => config.positive("no_rope_layer_interval")?,
            None => 4,
        };
        let of = |index: usize| !(index + 1).is_multiple_of(interval);
        return Ok((0..layers).map(of).collect());
    };
    let flags = value.as_array().map(|flags| {
        let known = |flag: &Value| flag.as_u64().filter(|flag| *flag < 2).map(|flag| flag == 1);
        flags.iter().map(known).collect::<Option<Vec<_>>>()
    });
    match flags.flatten() {
        Some(flags) if flags.len() >= layers => Ok(flags[..layers].to_vec()),
        _ => Err(config.field_error(FIELD, "0 or 1 for every layer")),
    }
}
