//! What of a session goes into a folder, and comes back out of it.
//!
//! A folder holds the whole of what is learnt: where procedures keep a part of it elsewhere, they gather it for the folder and scatter it again.

use std::path::Path;

use peft_core::Subject;

use super::Session;
use crate::TrainError;
use crate::setup::Setup;
use crate::task::Task;

impl<T: Task> Session<'_, T> {
    /// Writes the trained part into a folder that exists; gives the model that the folder describes.
    pub(super) fn save(&self, dir: &Path) -> Result<T::Model, TrainError> {
        let mut whole = self.model.clone();
        let (procedures, subject) = (&self.setup.procedures, self.subject.as_ref());
        let learnt = procedures.gather(subject, &mut whole)?;
        self.setup.trained.save(&whole, learnt.as_ref(), dir)?;
        Ok(whole)
    }

    /// Goes back to the checkpoint after `step` steps, all but the optimizer.
    pub(super) fn restore(&mut self, step: usize) -> Result<(), TrainError> {
        let model = self.model.clone();
        self.model = self.setup.restore(self.subject.as_ref(), model, step)?;
        self.copies.clear();
        Ok(())
    }
}

impl<T: Task> Setup<'_, T> {
    /// The model of the checkpoint after `step` steps, and the state of the procedures.
    pub(super) fn restore(
        &mut self,
        subject: Option<&Subject>,
        mut model: T::Model,
        step: usize,
    ) -> Result<T::Model, TrainError> {
        let checkpoints = self.checkpoints();
        self.procedures.load_state(checkpoints.procedures(step)?)?;
        let learnt = self.procedures.gather(subject, &mut model)?;
        let path = checkpoints.path(step);
        let mut model = self.trained.restore(model, learnt.as_ref(), &path)?;
        self.procedures.scatter(subject, &mut model)?;
        Ok(self.ties.broadcast(model))
    }
}
