//! Who is to blame for an error as a program holds it, with whatever it was wrapped in.

use std::error::Error as StdError;
use std::iter::successors;

use peft_core::PeftError;
use peft_train::{RunError, TrainError};

use super::Error;

/// Whether the settings are to blame, rather than what happened with them.
#[must_use]
pub fn is_usage(error: &(dyn StdError + 'static)) -> bool {
    causes(error).any(|cause| {
        cause.is::<toml::de::Error>()
            || cause.downcast_ref().is_some_and(Error::is_usage)
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
pub fn is_interruption(error: &(dyn StdError + 'static)) -> bool {
    let interrupted =
        |error: &TrainError| matches!(error, TrainError::Run(RunError::Interrupted { .. }));
    causes(error).any(|cause| {
        cause.downcast_ref().is_some_and(Error::is_interruption)
            || cause.downcast_ref().is_some_and(interrupted)
    })
}

/// An error and what caused it.
fn causes<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    successors(Some(error), |&error| error.source())
}
