//! Nothing that is not finite is kept: what is looked at before weights are written.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;
use peft_core::{Adaptable, Pass, Trainable, trains};

use super::Session;
use crate::TrainError;
use crate::run_error::RunError;
use crate::setup::Setup;
use crate::spread::device_of;
use crate::task::Task;

/// The first trained parameter with a value that is no number, and that value.
fn first_bad<M: Adaptable>(model: &M, trainable: &Trainable) -> Option<(String, f64)> {
    let mut search = Search::default();
    model.visit(&mut search);
    let (id, value) = search.found?;
    let named = trainable.params.iter().find(|param| param.id == id);
    let name = named.map_or_else(|| id.to_string(), |param| param.name.clone());
    Some((name, value))
}

#[derive(Default)]
struct Search {
    found: Option<(burn::module::ParamId, f64)>,
}

impl ModuleVisitor for Search {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if self.found.is_some() || !trains(param) {
            return;
        }
        let data = peft_core::read(param.val());
        let bad = data.iter::<f32>().find(|value| !value.is_finite());
        self.found = bad.map(|value| (param.id, f64::from(value)));
    }
}

impl<T: Task> Session<'_, T> {
    /// Reads what the steps since the last reading found out, and returns the figures of the last.
    ///
    /// # Errors
    /// A loss that is not finite.
    pub(super) fn read(&mut self) -> Result<Vec<(&'static str, f64)>, TrainError> {
        let read = self.unread.read()?;
        for (step, loss) in read.losses {
            if !loss.is_finite() {
                return Err(self.setup.loss_not_finite(step, loss));
            }
            let window = &mut self.state.window;
            *window = (window.0 + loss, window.1 + 1);
        }
        Ok(read.figures)
    }

    /// Refuses weights that are not finite, steps whose loss was not, and weights that give such a loss: that of the last evaluation where
    /// it is one of these weights, otherwise that of one batch.
    pub(super) fn check_finite(&mut self) -> Result<(), TrainError> {
        self.read()?;
        let state = &self.state;
        if let Some((name, value)) = first_bad(&self.model, &self.trainable) {
            let (step, kept) = (state.step, self.setup.kept(state.step));
            return Err(RunError::WeightNotFinite {
                step,
                name,
                value,
                kept,
            }
            .into());
        }
        let evaluated = state.last_scores.as_ref();
        if evaluated.is_some_and(|(step, _)| *step == state.step) {
            return Ok(());
        }
        let batches = self.plans.epoch(state.epoch)?;
        let Some(batch) = batches.get(state.batch).or(batches.first()) else {
            return Ok(());
        };
        let model = self.model.valid();
        let device = device_of(&model);
        let task = self.setup.task;
        let loss = task.loss(&model, batch, &device, &mut Pass::eval())?;
        let loss = peft_core::read_number(loss);
        if loss.is_finite() {
            return Ok(());
        }
        Err(self.setup.loss_not_finite(state.step, loss))
    }
}

impl<T: Task> Setup<'_, T> {
    /// A loss that weights after `step` steps gave. A checkpoint of these very weights is none to go on from, and is
    /// removed.
    pub(super) fn loss_not_finite(&self, step: usize, loss: f64) -> TrainError {
        let checkpoints = self.checkpoints();
        let removed = peft_core::file::remove_folder(&checkpoints.path(step));
        match removed {
            Ok(()) => RunError::LossNotFinite {
                step,
                loss,
                kept: self.kept(step),
            }
            .into(),
            Err(error) => error.into(),
        }
    }

    /// The last checkpoint whose weights are known to be good: a later step was taken from them, or is about to be.
    fn kept(&self, step: usize) -> String {
        let checkpoints = self.checkpoints();
        let steps = checkpoints.steps().unwrap_or_default();
        match steps.into_iter().rev().find(|at| *at < step) {
            Some(step) => format!(
                "{} is the last good checkpoint",
                checkpoints.path(step).display()
            ),
            None => "there is no good checkpoint".into(),
        }
    }
}
