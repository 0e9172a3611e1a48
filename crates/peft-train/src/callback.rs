//! Callbacks: what looks at every step of a run.

use peft_core::Observer;

use crate::schedule::Schedule;
use crate::task::Scores;

/// The step that is being taken.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Optimizer steps taken before this one.
    pub index: usize,
    /// Optimizer steps of the whole run.
    pub total: usize,
    /// Epoch, counted from 0.
    pub epoch: usize,
    /// Learning rate of this step; a callback may change it in `step_begin`.
    pub lr: f64,
    /// Real tokens seen since the run began, padding not counted.
    pub tokens: usize,
}

/// What the log says of the steps since the record before.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The last of these steps.
    pub step: Step,
    /// Their mean loss.
    pub loss: f64,
    /// Figures of the last of them, such as `grad_norm`.
    pub figures: Vec<(&'static str, f64)>,
}

/// Looks at a training run; whatever steers one is a [`peft_core::Procedure`]. Every method does nothing by default.
pub trait Callback {
    /// Before the forward pass; may set the learning rate.
    fn step_begin(&mut self, _step: &mut Step) {}

    /// Who watches the forward passes of training steps on its behalf, if anybody.
    fn observer(&mut self) -> Option<&mut dyn Observer> {
        None
    }

    /// After the optimizer's step, which the device may still be busy with.
    fn step_end(&mut self, _step: &Step) {}

    /// After every `log_every` steps and the last: what the log says of them. Losses are known here and not before, because to read one
    /// waits for the device.
    fn recorded(&mut self, _record: &Record) {}

    /// After an evaluation.
    fn evaluated(&mut self, _step: usize, _scores: &Scores) {}
}

/// Sets the learning rate of every step: `lr = peak * schedule(step)`.
#[derive(Debug, Clone, Copy)]
pub struct ScheduledRate {
    /// Peak learning rate.
    pub peak: f64,
    /// Its shape over the run.
    pub schedule: Schedule,
}

impl Callback for ScheduledRate {
    fn step_begin(&mut self, step: &mut Step) {
        step.lr = self.peak * self.schedule.factor(step.index);
    }
}
