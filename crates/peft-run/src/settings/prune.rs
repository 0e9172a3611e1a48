//! The settings of LoRA-drop's procedure, and shares of the examples.

use anyhow::{Result, bail};
pub use peft_prune::procedure::ProcedureOptions as PruneConfig;
use peft_prune::procedure::check_share;

/// Refuses a share of the examples that is none, or none of them.
///
/// # Errors
/// The setting and what it is.
pub fn check_sample(name: &str, share: f64) -> Result<()> {
    match check_share(share) {
        Ok(()) => Ok(()),
        Err(problem) => bail!(crate::Usage(format!("{name}: {problem}"))),
    }
}
