//! Settings that can have no effect in a run are refused: whoever gives one expects something of it.

use anyhow::{Result, bail};
use peft_train::HeadRate;

use super::super::RunConfig;
use super::super::precondition::PreconditionKind;
use crate::registry;

/// Refuses what the method leaves nothing to act on.
///
/// # Errors
/// The setting, the method, and the methods that it goes with.
pub(super) fn check(config: &RunConfig) -> Result<()> {
    let method = config.adapter.method.as_str();
    let has_pairs = registry::find(method).is_none_or(|entry| entry.pairs);
    let is_adapter = !matches!(method, "full" | "head");
    let needs_pairs = [
        (
            "precondition (precondition.kind)",
            config.precondition.kind != PreconditionKind::None,
        ),
        (
            "train.lora_plus",
            config.train.lora_plus.to_bits() != 1.0f64.to_bits(),
        ),
    ];
    for (setting, is_given) in needs_pairs {
        if is_given && !(is_adapter && has_pairs) {
            bail!(crate::Usage(format!(
                "{setting}: method `{method}` trains no low-rank pairs, so that it would change nothing; methods that do: {}",
                registry::with_pairs()
            )));
        }
    }
    if method == "head" && matches!(config.train.head_lr, HeadRate::Rate(_)) {
        bail!(crate::Usage(
            "train.head_lr (--head-lr): method `head` trains nothing but the head; give its rate as --lr".into()
        ));
    }
    Ok(())
}
