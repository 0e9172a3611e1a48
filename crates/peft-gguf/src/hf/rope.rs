//! Scalings of rotary frequencies: `rope_scaling` of a `config.json`.

use std::f64::consts::TAU;

use serde_json::{Value, json};

use super::HfError;
use super::keys::Keys;
use super::sizes::Sizes;
use crate::GgufModel;

/// What each frequency is divided by, in Llama 3.1 and later.
const FACTORS: &str = "rope_freqs.weight";
/// What each frequency is divided by in texts longer and shorter than those of the training.
const LONG_FACTORS: &str = "rope_factors_long.weight";
const SHORT_FACTORS: &str = "rope_factors_short.weight";
/// What cosines and sines are multiplied by.
const MAGNITUDE: &str = "rope.scaling.attn_factor";
/// The numbers of Llama 3's scaling that all of its checkpoints share, and that llama.cpp's converter takes for granted.
const LOW: f64 = 1.0;
const HIGH: f64 = 4.0;
const ORIGINAL: u32 = 8192;
/// How far a factor may be from the formula's; the converter computes them in single precision.
const TOLERANCE: f64 = 1e-5;

/// The frequency of pair `j` of a head of width `d`, where nothing is scaled: `base^(-2 j / d)`.
fn frequency(base: f64, pair: u64, width: u64) -> f64 {
    base.powf(-2.0 * pair as f64 / width as f64)
}

/// `rope_scaling`; `None` where frequencies are not scaled.
pub(super) fn scaling(
    model: &GgufModel,
    keys: Keys<'_>,
    sizes: &Sizes,
    base: f64,
) -> Result<Option<Value>, HfError> {
    if model.contains(LONG_FACTORS) {
        return longrope(model, keys).map(Some);
    }
    let stated = stated(keys)?;
    if !model.contains(FACTORS) {
        return Ok(stated);
    }
    if stated.is_some() {
        let what = keys.full("rope.scaling.type");
        return Err(keys.unsupported(what, "there beside rope_freqs.weight", "one of both"));
    }
    llama3(keys, &model.values(FACTORS)?, sizes.head, base)
}

const SUPPORTED: &str = "no scaling, linear, yarn, or Llama 3's";

/// The scaling that the metadata state.
fn stated(keys: Keys<'_>) -> Result<Option<Value>, HfError> {
    const TYPE: &str = "rope.scaling.type";
    for key in [MAGNITUDE, "rope.scaling.yarn_log_multiplier"] {
        if let Some(value) = keys.number_if_any(key)? {
            return Err(keys.unsupported(keys.full(key), value, "not there"));
        }
    }
    match keys.text_if_any(TYPE)? {
        None => {
            // Files of 2023 have this key alone.
            let factor = keys.number_if_any("rope.scale_linear")?;
            let factor = factor.filter(|factor| factor.as_f64() != Some(1.0));
            Ok(factor.map(|factor| json!({"rope_type": "linear", "factor": factor})))
        }
        Some("none") => Ok(None),
        Some("linear") => {
            let factor = keys.number("rope.scaling.factor")?;
            Ok(Some(json!({"rope_type": "linear", "factor": factor})))
        }
        Some("yarn") => yarn(keys).map(Some),
        Some(other) => Err(keys.unsupported(keys.full(TYPE), other, SUPPORTED)),
    }
}

/// LongRoPE (Ding et al. 2024, arXiv 2402.13753); the length between long and short is a field of the configuration's own.
fn longrope(model: &GgufModel, keys: Keys<'_>) -> Result<Value, HfError> {
    let mut scaling = json!({
        "rope_type": "longrope",
        "short_factor": model.values(SHORT_FACTORS)?,
        "long_factor": model.values(LONG_FACTORS)?,
    });
    if let Some(magnitude) = keys.number_if_any(MAGNITUDE)? {
        scaling["attention_factor"] = magnitude.into();
    }
    Ok(scaling)
}

/// YaRN (Peng et al. 2023, arXiv 2309.00071), with the numbers that the file states.
fn yarn(keys: Keys<'_>) -> Result<Value, HfError> {
    let mut scaling = json!({
        "rope_type": "yarn",
        "factor": keys.number("rope.scaling.factor")?,
        "original_max_position_embeddings": keys.size("rope.scaling.original_context_length")?,
    });
    for (key, field) in [
        ("yarn_ext_factor", "extrapolation_factor"),
        ("yarn_attn_factor", "attention_factor"),
        ("yarn_beta_fast", "beta_fast"),
        ("yarn_beta_slow", "beta_slow"),
    ] {
        if let Some(value) = keys.number_if_any(&format!("rope.scaling.{key}"))? {
            scaling[field] = value.into();
        }
    }
    Ok(scaling)
}

/// Llama 3's scaling, of which the file has only what each frequency is divided by: they must be those of the formula.
fn llama3(keys: Keys<'_>, found: &[f32], width: u64, base: f64) -> Result<Option<Value>, HfError> {
    let pairs = found.len() as u64;
    let last = found.last().copied().map_or(0.0, f64::from);
    if pairs == width / 2 {
        if found.iter().all(|factor| *factor == 1.0) {
            return Ok(None);
        }
        // The slowest frequency is stretched by the whole factor, unless the base is too small for heads of this width.
        for factor in [last, 8.0, 32.0] {
            let is_factor = |(pair, found): (u64, &f32)| {
                let expected = divisor(factor, frequency(base, pair, width));
                (f64::from(*found) / expected - 1.0).abs() <= TOLERANCE
            };
            if factor > 1.0 && (0..pairs).zip(found).all(is_factor) {
                return Ok(Some(json!({
                    "rope_type": "llama3",
                    "factor": factor,
                    "low_freq_factor": LOW,
                    "high_freq_factor": HIGH,
                    "original_max_position_embeddings": ORIGINAL,
                })));
            }
        }
    }
    let what = format!("{FACTORS}, of {pairs} factors up to {last},");
    let supported = format!(
        "{} factors of Llama 3's scaling (low_freq_factor {LOW}, high_freq_factor {HIGH}, original_max_position_embeddings {ORIGINAL})",
        width / 2
    );
    Err(keys.unsupported(what, "another scaling", supported))
}

/// What each frequency of heads of this width is divided by, with Llama 3's scaling.
pub(crate) fn divisors(factor: f64, base: f64, width: u64) -> Vec<f32> {
    let pairs = 0..width / 2;
    pairs
        .map(|pair| divisor(factor, frequency(base, pair, width)) as f32)
        .collect()
}

/// What a frequency is divided by. Those that turn less than `LOW` times in the original context are divided by `factor`, those that turn
/// more than `HIGH` times by 1, and `1 / divisor` is interpolated between.
fn divisor(factor: f64, frequency: f64) -> f64 {
    let turns = f64::from(ORIGINAL) * frequency / TAU;
    let kept = ((turns - LOW) / (HIGH - LOW)).clamp(0.0, 1.0);
    1.0 / ((1.0 - kept) / factor + kept)
}
