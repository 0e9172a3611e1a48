//! Who looks at a run from outside.

use std::path::Path;

use peft_prune::Plan;
use peft_train::{Callback, Stop};

use crate::Result;
use crate::settings::RunConfig;

/// Looks at a run, and may ask it to end. Every method that is provided does nothing; `()` watches nothing.
pub trait Watch {
    /// What looks at the steps of a training that begins; a method whose procedure trains twice asks twice.
    fn callbacks(&mut self, _config: &RunConfig) -> Vec<Box<dyn Callback + '_>> {
        vec![]
    }

    /// The request to end the run.
    fn stop(&self) -> Stop {
        Stop::default()
    }

    /// A plan of shared layers was made, and is about to be written to `file`.
    ///
    /// # Errors
    /// What keeps the run from going on.
    fn planned(&mut self, _plan: &Plan, _file: &Path) -> Result<()> {
        Ok(())
    }
}

impl Watch for () {}
