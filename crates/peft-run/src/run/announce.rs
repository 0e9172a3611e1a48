//! What a run that goes on says before its first step.

use peft_train::Session;
use peft_train::task::Task;

use super::RunFolder;
use crate::settings::RunConfig;

/// Says where a run goes on.
pub(super) fn announce<T: Task>(
    config: &RunConfig,
    folder: &RunFolder<'_>,
    session: &Session<'_, T>,
) {
    let (step, total) = (session.step(), session.total());
    if !folder.was_there() {
        return;
    }
    if step == 0 {
        log::info!("no checkpoint in {}: starting anew", config.out.display());
        return;
    }
    log::info!("resuming from step {step} of {total}");
    if let Some(before) = session.shorter_before() {
        log::info!("the run has {total} steps now instead of {before}");
        if config.train.depends_on_length() {
            log::warn!(
                "warm-up and the {} schedule span the {total} steps from now on: the rate is not what it was in the first {step}",
                config.train.schedule
            );
        }
    }
}
