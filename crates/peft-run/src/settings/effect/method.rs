//! Settings that can have no effect in a run are refused: whoever gives one expects something of it.

use peft_core::Procedures;
use peft_models::Storage;
use peft_train::HeadRate;

use super::super::RunConfig;
use crate::registry;
use crate::{Error, Result};

/// Refuses what the method leaves nothing to act on.
///
/// # Errors
/// The setting, the method, and the methods that it goes with.
pub(super) fn check(config: &RunConfig, steering: &Procedures) -> Result<()> {
    let method = config.adapter.method.as_str();
    let has_pairs = registry::find(method).is_none_or(|entry| entry.pairs);
    let is_adapter = !matches!(method, "full" | "head");
    let needs_pairs = [
        steering.conditioning().map(|id| format!("procedures.{id}")),
        (config.train.lora_plus.to_bits() != 1.0f64.to_bits()).then(|| "train.lora_plus".into()),
    ];
    for setting in needs_pairs.into_iter().flatten() {
        if !(is_adapter && has_pairs) {
            return Err(Error::Usage(format!(
                "{setting}: method `{method}` trains no low-rank pairs, so that it would change nothing; methods that do: {}",
                registry::with_pairs()
            )));
        }
    }
    if method == "full"
        && let Some(storage @ (Storage::Packed(_) | Storage::Stored)) = config.quantize
    {
        return Err(Error::Usage(format!(
            "quantize ({storage}): method `full` trains the weights themselves, which then are f32; leave it out, or train an adapter"
        )));
    }
    let given = &config.adapter;
    let is_scaled = registry::find(method).is_none_or(|entry| entry.alpha);
    if !is_scaled && (given.alpha.is_some() || !given.alpha_pattern.is_empty()) {
        return Err(Error::Usage(format!(
            "adapter.alpha (--alpha): method `{method}` has no scale, so that it would change nothing; leave it out"
        )));
    }
    if method == "head" && matches!(config.train.head_lr, HeadRate::Rate(_)) {
        return Err(Error::Usage(
            "train.head_lr (--head-lr): method `head` trains nothing but the head; give its rate as --lr".into()
        ));
    }
    Ok(())
}
