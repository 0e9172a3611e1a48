//! What a run says of its learning rates before it begins.

use peft_train::task::Task;
use peft_train::{Setup, TrainError};

/// Names what of the output layer trains at a rate of its own.
///
/// # Errors
/// When the settings give a rate to what does not train.
pub(super) fn announce<T: Task>(setup: &Setup<'_, T>, model: &T::Model) -> Result<(), TrainError> {
    if let Some(own) = setup.own_rate(model)? {
        log::info!(
            "{} at a learning rate of {} instead of {} (--head-lr same: one rate for all)",
            own.names.join(", "),
            own.lr,
            setup.options.lr
        );
    }
    Ok(())
}
