//! Kinds of failure, for whoever answers them differently.

use peft_core::PeftError;
use peft_train::{RunError, TrainError};

/// A mistake in settings or in how something was asked for, as opposed to work that failed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);

/// Whether the settings are to blame, rather than what happened with them.
#[must_use]
pub fn is_usage(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.is::<Usage>()
            || cause.is::<toml::de::Error>()
            || cause.downcast_ref().is_some_and(is_usage_of_training)
            || cause.downcast_ref().is_some_and(is_usage_of_adapters)
    })
}

fn is_usage_of_training(error: &TrainError) -> bool {
    match error {
        TrainError::Option { .. } | TrainError::Run(RunError::Shorter { .. }) => true,
        // It is transparent: the chain of causes goes on behind the error that it holds.
        TrainError::Peft(error) => is_usage_of_adapters(error),
        _ => false,
    }
}

fn is_usage_of_adapters(error: &PeftError) -> bool {
    matches!(
        error,
        PeftError::Option { .. }
            | PeftError::ProcedureOption { .. }
            | PeftError::Target(_)
            | PeftError::Rank { .. }
            | PeftError::Alpha { .. }
            | PeftError::NoLowRankForm { .. }
            | PeftError::SavedModules { .. }
    )
}

/// Whether a run ended early because it was asked to, with all that it needs to go on.
#[must_use]
pub fn is_interruption(error: &anyhow::Error) -> bool {
    let interrupted =
        |error: &TrainError| matches!(error, TrainError::Run(RunError::Interrupted { .. }));
    error.downcast_ref().is_some_and(interrupted)
}
