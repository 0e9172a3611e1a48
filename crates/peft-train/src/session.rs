//! A run that is going on: which batch comes next, when to evaluate, save and stop, and how it begins and ends.

mod copies;
mod finite;
mod folder;
mod start;
mod step;
mod unread;

use std::path::Path;
use std::time::Instant;

use burn::optim::ModuleOptimizer;
use burn::tensor::Device;
use peft_core::{Subject, Trainable};
use serde::Serialize;

use crate::TrainError;
use crate::checkpoint::RunState;
use crate::group::Groups;
use crate::log::TrainLog;
use crate::options::Select;
use crate::plans::Plans;
use crate::run_error::RunError;
use crate::setup::Setup;
use crate::task::{Scores, Task};
use unread::Unread;

/// File of the log in a run directory.
pub const LOG_FILE: &str = "train_log.jsonl";

/// How a run went.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrainReport {
    /// Optimizer steps taken.
    pub steps: usize,
    /// Real tokens seen, padding not counted.
    pub tokens: usize,
    /// Seconds of training, evaluations included, over all parts of a resumed run.
    pub seconds: f64,
    /// Scores of the weights that the run ends with.
    pub scores: Option<Scores>,
    /// Step of the best evaluation.
    pub best_step: Option<usize>,
    /// The metric by which evaluations are compared.
    pub judged_by: String,
    /// Step of the weights that the run ends with.
    pub selected_step: usize,
    /// Whether the run stopped before its time for lack of improvement.
    pub stopped_early: bool,
}

/// Everything that changes from step to step: model, optimizer, procedures, state, log. It is what checkpoints save.
///
/// [`Session::new`] checks and writes nothing; [`Session::run`] does the whole run, [`Session::advance`] one step of it, and what follows that.
pub struct Session<'a, T: Task> {
    setup: Setup<'a, T>,
    subject: Option<Subject>,
    model: T::Model,
    /// On other devices, made when they are needed.
    copies: Vec<(T::Model, Device)>,
    optimizer: ModuleOptimizer,
    state: RunState,
    unread: Unread,
    trainable: Trainable,
    groups: Groups,
    plans: Plans<'a>,
    /// Opened with the first step.
    log: Option<TrainLog>,
    since: Instant,
    seconds_before: f64,
    shorter_before: Option<usize>,
    stopped_early: bool,
}

impl<T: Task> std::fmt::Debug for Session<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("setup", &self.setup)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl<T: Task> Session<'_, T> {
    /// Steps that were taken, those before a checkpoint included.
    #[must_use]
    pub fn step(&self) -> usize {
        self.state.step
    }

    /// Steps of the whole run.
    #[must_use]
    pub fn total(&self) -> usize {
        self.state.total
    }

    /// Steps that the run had when its checkpoint was written, where it has more now.
    #[must_use]
    pub fn shorter_before(&self) -> Option<usize> {
        self.shorter_before
    }

    /// The model as it is by now.
    #[must_use]
    pub fn model(&self) -> &T::Model {
        &self.model
    }

    /// Trains to the end of the run and writes the trained part; the model is the one that the folder holds.
    ///
    /// # Errors
    /// A loss or a weight that is not finite, a batch that does not fit, a disk that refuses; the last checkpoint stays.
    /// [`RunError::Interrupted`] when somebody asked to stop.
    pub fn run(mut self) -> Result<(T::Model, TrainReport), TrainError> {
        let _running = self.setup.stop.running();
        while self.advance()? {}
        self.finish()
    }

    /// Takes one step, evaluates and saves where it is time for that, and says whether there is more to do.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn advance(&mut self) -> Result<bool, TrainError> {
        self.begin()?;
        if !self.state.pending {
            let patience = self.setup.options.patience.unwrap_or(usize::MAX);
            self.stopped_early = self.state.without_improvement >= patience;
            if self.stopped_early || self.state.step >= self.state.total {
                return Ok(false);
            }
            self.take_step()?;
        }
        match self.after_step() {
            Err(TrainError::Run(RunError::Stopped)) => Err(self.interrupted()),
            outcome => outcome.map(|()| true),
        }
    }

    /// Begins to write: what is left of a broken checkpoint goes, the log is opened.
    fn begin(&mut self) -> Result<(), TrainError> {
        if self.log.is_some() {
            return Ok(());
        }
        self.setup.checkpoints().tidy()?;
        let path = self.setup.dir.join(LOG_FILE);
        self.log = Some(match self.state.step {
            0 => TrainLog::create(&path)?,
            step => TrainLog::resume(&path, step as u64, self.state.pending)?,
        });
        self.since = Instant::now();
        Ok(())
    }

    /// Takes one step; what may follow it is pending then.
    fn take_step(&mut self) -> Result<(), TrainError> {
        let (epoch, batch) = (self.state.epoch, self.state.batch);
        let batches = self.plans.epoch(epoch)?;
        let end = (batch + self.setup.options.accumulation).min(batches.len());
        let ends = end == batches.len();
        let group = batches[batch..end].to_vec();
        if let Err(error) = self.step_on(&group) {
            // A step fails where the one before gave no number.
            self.read()?;
            return Err(self.without_device(error));
        }
        self.state.pending = true;
        (self.state.epoch, self.state.batch) = match ends {
            true => (epoch + 1, 0),
            false => (epoch, end),
        };
        Ok(())
    }

    /// Evaluates and saves, where it is time for that.
    fn after_step(&mut self) -> Result<(), TrainError> {
        self.setup.stop.check()?;
        let (state, options) = (&self.state, self.setup.options);
        let (epoch_ends, last) = (state.batch == 0, state.step == state.total);
        let due = |every: Option<usize>| match every {
            Some(every) => state.step.is_multiple_of(every) || last,
            None => epoch_ends || last,
        };
        let (evaluate, save) = (due(options.eval_every), due(options.save_every));
        let improved = evaluate && self.evaluate()?;
        self.state.pending = false;
        let keep_best = improved && (options.select == Select::Best || options.patience.is_some());
        if save || keep_best {
            self.checkpoint()?;
        }
        Ok(())
    }

    /// Writes what a run that was asked to stop is to go on from.
    fn interrupted(&mut self) -> TrainError {
        let step = self.state.step;
        match self.checkpoint() {
            Ok(()) => RunError::Interrupted {
                step,
                checkpoint: self.setup.checkpoints().path(step),
            }
            .into(),
            Err(error) => error,
        }
    }

    /// The error of a step; where a device was lost that does not hold the model, after a checkpoint from which the others go on.
    fn without_device(&mut self, mut error: TrainError) -> TrainError {
        if let TrainError::Run(RunError::Device {
            place: 1.., kept, ..
        }) = &mut error
        {
            self.copies.clear();
            if let Err(error) = self.checkpoint() {
                return error;
            }
            *kept = format!(
                "{} holds everything to go on from with the other devices (--resume)",
                self.setup.checkpoints().path(self.state.step).display()
            );
        }
        error
    }

    /// Writes a checkpoint of where the run stands.
    ///
    /// # Errors
    /// A loss or a weight that is not finite, a disk that refuses.
    pub fn checkpoint(&mut self) -> Result<(), TrainError> {
        self.check_finite()?;
        self.state.seconds = self.seconds();
        let procedures = self.setup.procedures.state();
        let save = |dir: &Path| self.save(dir).map(drop);
        let checkpoints = self.setup.checkpoints();
        checkpoints.save(&self.state, &self.optimizer, &procedures, save)
    }

    fn finish(mut self) -> Result<(T::Model, TrainReport), TrainError> {
        self.check_finite()?;
        let seconds = self.seconds();
        let state = self.state.clone();
        let best_step = state.best.map(|(step, _)| step);
        let selected_step = match self.setup.options.select {
            Select::Best => best_step.unwrap_or(state.step),
            Select::Last => state.step,
        };
        let mut scores = state
            .last_scores
            .filter(|(step, _)| *step == selected_step)
            .map(|(_, scores)| scores);
        // What goes on after a stop is the run as it was, not the weights that were chosen.
        let last = (self.model.clone(), self.setup.procedures.clone());
        if selected_step != state.step {
            self.restore(selected_step)?;
        }
        if scores.is_none() {
            let spread = self.spread().valid();
            let evaluated = self.setup.task.evaluate(&spread, &self.setup.stop);
            if matches!(evaluated, Err(TrainError::Run(RunError::Stopped))) {
                (self.model, self.setup.procedures) = last;
                return Err(self.interrupted());
            }
            scores = evaluated?;
        }
        let model = self.save(&self.setup.dir)?;
        let report = TrainReport {
            steps: state.step,
            tokens: state.tokens,
            seconds,
            scores,
            best_step,
            judged_by: self.setup.task.headline().key(),
            selected_step,
            stopped_early: self.stopped_early,
        };
        Ok((model, report))
    }

    fn seconds(&self) -> f64 {
        self.seconds_before + self.since.elapsed().as_secs_f64()
    }
}
