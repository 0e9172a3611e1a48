//! What a user sees of a run that goes on.

use std::path::Path;

use peft_prune::Plan;
use peft_run::settings::RunConfig;
use peft_run::{Error, Result, Watch};
use peft_train::{Callback, Stop};

use crate::interrupt;
use crate::picture::plan_map;
use crate::progress::Progress;

/// Shows progress, draws plans, answers signals.
pub(super) struct OnScreen;

impl Watch for OnScreen {
    fn callbacks(&mut self, _config: &RunConfig) -> Vec<Box<dyn Callback + '_>> {
        vec![Box::new(Progress::new())]
    }

    fn stop(&self) -> Stop {
        interrupt::stop()
    }

    fn planned(&mut self, plan: &Plan, file: &Path) -> Result<()> {
        let drawn = plan_map::map(plan).draw(file).map(drop);
        drawn.map_err(|error| Error::Watch(error.into()))
    }
}
