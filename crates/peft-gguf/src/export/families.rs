//! What an architecture has beside what all have, and what its files leave to the readers of them.

use serde_json::{Value as Json, json};

use super::ExportError;
use super::fields::Fields;
use crate::hf::{Architecture, LARGEST_GEMMA2, LARGEST_GEMMA3};
use crate::{FormatError, Value};

/// Sizes by which readers know what files do not say.
pub(super) struct Sizes {
    pub(super) blocks: u32,
    pub(super) hidden: u32,
    pub(super) heads: u32,
    pub(super) head: u32,
}

/// Writes a value under a key of the architecture's.
pub(super) trait Put: FnMut(&str, Value) -> Result<(), FormatError> {}

impl<F: FnMut(&str, Value) -> Result<(), FormatError>> Put for F {}

/// Whether it is one of the Gemmas.
pub(super) fn is_gemma(architecture: Architecture) -> bool {
    matches!(
        architecture,
        Architecture::Gemma | Architecture::Gemma2 | Architecture::Gemma3
    )
}

/// The base of rotary positions in configurations without one.
pub(super) fn usual_base(fields: &Fields<'_>) -> f64 {
    match fields.get("model_type").and_then(Json::as_str) {
        Some("gemma3_text") => 1_000_000.0,
        Some("smollm3") => 2_000_000.0,
        _ => 10_000.0,
    }
}

/// The part of each head that is turned.
pub(super) fn turned(fields: &Fields<'_>) -> Result<f64, ExportError> {
    const PART: &str = "partial_rotary_factor";
    let newer = fields.get("rope_parameters").and_then(|all| all.get(PART));
    match newer.and_then(Json::as_f64) {
        Some(part) => Ok(part),
        None => fields.number_or(PART, 1.0),
    }
}

/// Writes what the architecture's files have beside, and refuses what they cannot say.
pub(super) fn describe(
    architecture: Architecture,
    fields: Fields<'_>,
    sizes: &Sizes,
    put: &mut impl Put,
) -> Result<(), ExportError> {
    if is_gemma(architecture) {
        fields.require("use_bidirectional_attention", &json!(false))?;
    }
    match architecture {
        Architecture::Gemma2 => gemma2(fields, sizes, put),
        Architecture::Gemma3 => gemma3(fields, sizes, put),
        Architecture::Granite => granite(fields, put),
        Architecture::SmolLm3 => smollm3(fields, sizes),
        Architecture::Phi3 => {
            if let Some(original) = fields.size_if_any("original_max_position_embeddings")? {
                put("rope.scaling.original_context_length", original.into())?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

fn gemma2(fields: Fields<'_>, sizes: &Sizes, put: &mut impl Put) -> Result<(), ExportError> {
    query_scalar(fields, sizes, LARGEST_GEMMA2)?;
    types(fields, sizes, |block| block % 2 == 0)?;
    let window = fields.size_if_any("sliding_window")?.unwrap_or(4096);
    put("attention.sliding_window", window.into())?;
    for (field, usual) in [
        ("attn_logit_softcapping", 50.0),
        ("final_logit_softcapping", 30.0),
    ] {
        // Readers take the usual bound where a file has none.
        if fields.0.get(field) == Some(&Json::Null) {
            return Err(fields.error(field, "a number"));
        }
        put(field, (fields.number_or(field, usual)? as f32).into())?;
    }
    Ok(())
}

fn gemma3(fields: Fields<'_>, sizes: &Sizes, put: &mut impl Put) -> Result<(), ExportError> {
    query_scalar(fields, sizes, LARGEST_GEMMA3)?;
    types(fields, sizes, |block| (block + 1) % 6 != 0)?;
    fields.require("sliding_window_pattern", &json!(6))?;
    fields.require("rope_local_base_freq", &json!(10_000.0))?;
    local_base(fields)?;
    let window = fields.size("sliding_window")?;
    put("attention.sliding_window", window.into())?;
    if fields.get("final_logit_softcapping").is_some() {
        let cap = fields.number_or("final_logit_softcapping", 0.0)?;
        put("final_logit_softcapping", (cap as f32).into())?;
    }
    Ok(())
}

fn granite(fields: Fields<'_>, put: &mut impl Put) -> Result<(), ExportError> {
    for (field, key) in [
        ("attention_multiplier", "attention.scale"),
        ("embedding_multiplier", "embedding_scale"),
        ("residual_multiplier", "residual_scale"),
        ("logits_scaling", "logit_scale"),
    ] {
        put(key, (fields.number_or(field, 1.0)? as f32).into())?;
    }
    Ok(())
}

fn smollm3(fields: Fields<'_>, sizes: &Sizes) -> Result<(), ExportError> {
    let turned = (1..=sizes.blocks).map(|block| u8::from(block % 4 != 0));
    fields.require("no_rope_layers", &turned.collect())?;
    if fields.get("no_rope_layers").is_none() {
        fields.require("no_rope_layer_interval", &json!(4))?;
    }
    fields.require("use_sliding_window", &json!(false))
}

/// Refuses scores that are divided by the root of another number than readers take.
fn query_scalar(fields: Fields<'_>, sizes: &Sizes, largest: u64) -> Result<(), ExportError> {
    let granted = match u64::from(sizes.blocks) == largest {
        true => sizes.hidden.checked_div(sizes.heads).unwrap_or(0),
        false => sizes.head,
    };
    match fields.number_or("query_pre_attn_scalar", 256.0)? {
        scalar if scalar == f64::from(granted) => Ok(()),
        _ => Err(fields.error("query_pre_attn_scalar", &granted.to_string())),
    }
}

/// Refuses windows in other blocks than readers take.
fn types(
    fields: Fields<'_>,
    sizes: &Sizes,
    slides: impl Fn(u32) -> bool,
) -> Result<(), ExportError> {
    let name = |block| match slides(block) {
        true => "sliding_attention",
        false => "full_attention",
    };
    fields.require("layer_types", &(0..sizes.blocks).map(name).collect())
}

/// Refuses another base of the blocks with a window than readers take.
fn local_base(fields: Fields<'_>) -> Result<(), ExportError> {
    const FIELD: &str = "rope_parameters";
    let local = fields
        .get(FIELD)
        .and_then(|all| all.get("sliding_attention"));
    let is_usual = |local: &Json| {
        let base = local.get("rope_theta").and_then(Json::as_f64);
        let kind = local.get("rope_type").and_then(Json::as_str);
        base == Some(10_000.0) && matches!(kind, None | Some("default"))
    };
    match local {
        Some(local) if !is_usual(local) => Err(fields.error(
            FIELD,
            "a rope_theta of 10000 without scaling for sliding_attention",
        )),
        _ => Ok(()),
    }
}
