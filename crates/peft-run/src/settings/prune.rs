//! The settings of LoRA-drop's procedure, and shares of the examples.

pub use peft_prune::procedure::ProcedureOptions as PruneConfig;
use peft_prune::procedure::check_share;

use crate::{Error, Result};

/// Refuses a share of the examples that is none, or none of them.
///
/// # Errors
/// The setting and what it is.
pub fn check_sample(name: &str, share: f64) -> Result<()> {
    match check_share(share) {
        Ok(()) => Ok(()),
        Err(problem) => Err(Error::Usage(format!("{name}: {problem}"))),
    }
}
