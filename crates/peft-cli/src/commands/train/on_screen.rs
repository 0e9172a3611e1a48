//! What a user sees of a run that goes on.

use std::path::Path;

use anyhow::Result;
use peft_prune::Plan;
use peft_run::Watch;
use peft_run::settings::RunConfig;
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
        plan_map::map(plan).draw(file).map(drop)
    }
}
