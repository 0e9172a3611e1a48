//! What comes before the first step: everything is checked, nothing is written.

use burn::optim::ModuleOptimizer;
use peft_core::Trainable;

use crate::TrainError;
use crate::callback::ScheduledRate;
use crate::checkpoint::RunState;
use crate::group::Groups;
use crate::plans::Plans;
use crate::run_error::RunError;
use crate::schedule::Schedule;
use crate::task::Task;
use crate::trainer::Trainer;

/// A run that fits its settings, its data and its checkpoint, and has written nothing yet.
pub struct Ready<'a, M> {
    pub(crate) model: M,
    pub(crate) optimizer: ModuleOptimizer,
    pub(crate) state: RunState,
    pub(crate) trainable: Trainable,
    pub(crate) groups: Groups,
    pub(crate) plans: Plans<'a>,
    /// Steps that the run had when its checkpoint was written, where it has more now.
    pub shorter_before: Option<usize>,
}

impl<M> Ready<'_, M> {
    /// Steps that the checkpoint has already taken; 0 without one.
    #[must_use]
    pub fn step(&self) -> usize {
        self.state.step
    }

    /// Steps of the whole run.
    #[must_use]
    pub fn total(&self) -> usize {
        self.state.total
    }
}

impl<M> std::fmt::Debug for Ready<'_, M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ready")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl<'a, T: Task> Trainer<'a, T> {
    /// Checks everything that can be checked before the first step, and takes up the last checkpoint of a run that is
    /// resumed. Writes nothing.
    ///
    /// # Errors
    /// Settings that do not fit each other or the data; a checkpoint that is broken or of another run.
    pub fn prepare(
        &mut self,
        model: T::Model,
        resume: bool,
    ) -> Result<Ready<'a, T::Model>, TrainError> {
        self.options.check()?;
        let plans = Plans::new(self.options, self.task.lengths())?;
        let total = plans.total();
        let schedule = Schedule::of_run(self.options.schedule, self.options.warmup, total)?;
        let peak = self.options.lr;
        self.callbacks
            .insert(0, Box::new(ScheduledRate { peak, schedule }));
        let optimizer = self.options.optimizer.init(self.options);
        let last = match resume {
            true => self.checkpoints().steps()?.pop(),
            false => None,
        };
        let mut shorter_before = None;
        let (model, optimizer, state) = match last {
            None => {
                let state = RunState::start(self.fingerprint.clone(), total);
                (model, optimizer, state)
            }
            Some(step) => {
                let mut state = self.checkpoints().state(step, &self.fingerprint)?;
                if total < state.total {
                    let (before, now) = (state.total, total);
                    return Err(RunError::Shorter { before, now }.into());
                }
                shorter_before = (total > state.total).then_some(state.total);
                state.total = total;
                let (optimizer, transforms) = self.checkpoints().optimizer(step, optimizer)?;
                self.transforms.load_state(transforms)?;
                let model = self
                    .trained
                    .restore(model, &self.checkpoints().path(step))?;
                (self.ties.broadcast(model), optimizer, state)
            }
        };
        let trainable = Trainable::of(&model, self.names);
        self.need_pairs(&trainable)?;
        let head = self.own_rate(&model)?;
        Ok(Ready {
            groups: Groups::new(self.options, &trainable, head.as_ref(), total)?,
            trainable,
            model,
            optimizer,
            state,
            plans,
            shorter_before,
        })
    }
}
