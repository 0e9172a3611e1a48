//! The training loop: which batch comes next, when to evaluate, save and stop, and how a run begins and ends.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use burn::module::Module;
use burn::optim::ModuleOptimizer;
use burn::tensor::Device;
use peft_core::gradient::Chain;
use peft_core::tie::TieGroups;
use peft_core::{ParamNames, Preconditioner, Trainable};
use serde::Serialize;

use crate::TrainError;
use crate::callback::Callback;
use crate::checkpoint::{Checkpoints, RunState};
use crate::group::Groups;
use crate::head_rate::OwnRate;
use crate::log::TrainLog;
use crate::options::{Select, TrainOptions};
use crate::plans::Plans;
use crate::ready::Ready;
use crate::run_error::RunError;
use crate::stop::Stop;
use crate::task::{Scores, Task};
use crate::trained::Trained;

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

/// A run over one task.
pub struct Trainer<'a, T: Task> {
    /// What is learnt.
    pub task: &'a T,
    /// How.
    pub options: &'a TrainOptions,
    /// What is saved, and how.
    pub trained: &'a dyn Trained<T::Model>,
    /// Names of the base's parameters.
    pub names: &'a ParamNames,
    /// Names of those that start afresh, as a new output layer's.
    pub fresh: Vec<String>,
    /// Parameters that are one.
    pub ties: TieGroups,
    /// Applied to the gradients before the norm is clipped.
    pub transforms: Chain,
    /// Applied to the gradients of low-rank pairs right before the optimizer takes them.
    pub preconditioner: Option<Box<dyn Preconditioner>>,
    /// Told of every step.
    pub callbacks: Vec<Box<dyn Callback + 'a>>,
    /// Run directory.
    pub dir: PathBuf,
    /// Digest of settings and data, which a resumed run must share; how long the run is does not belong to them.
    pub fingerprint: String,
    /// Ends the run early.
    pub stop: Stop,
}

impl<T: Task> std::fmt::Debug for Trainer<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trainer")
            .field("options", self.options)
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}

/// What changes from step to step.
pub(crate) struct Progress<M> {
    pub(crate) model: M,
    pub(crate) optimizer: ModuleOptimizer,
    pub(crate) state: RunState,
    pub(crate) trainable: Trainable,
    pub(crate) groups: Groups,
    pub(crate) log: TrainLog,
    since: Instant,
    seconds_before: f64,
}

impl<'a, T: Task> Trainer<'a, T> {
    /// Trains `model`, which lives on an autodiff device, and returns it with a report.
    ///
    /// # Errors
    /// As [`Self::prepare`] and [`Self::train`].
    pub fn run(
        &mut self,
        model: T::Model,
        resume: bool,
    ) -> Result<(T::Model, TrainReport), TrainError> {
        let ready = self.prepare(model, resume)?;
        self.train(ready)
    }

    /// What of the output layer trains at a rate of its own.
    ///
    /// # Errors
    /// As [`OwnRate::of`].
    pub fn own_rate(&self, model: &T::Model) -> Result<Option<OwnRate>, TrainError> {
        OwnRate::of(self.options, model, self.names, &self.fresh)
    }

    /// Refuses settings of low-rank pairs where none train.
    pub(crate) fn need_pairs(&self, trainable: &Trainable) -> Result<(), TrainError> {
        let expected = "no value where no low-rank pairs train, as there it changes nothing";
        let (option, found) = match &self.preconditioner {
            Some(preconditioner) => ("preconditioner", preconditioner.name().to_owned()),
            None => ("lora_plus", self.options.lora_plus.to_string()),
        };
        let is_given = self.preconditioner.is_some() || (self.options.lora_plus - 1.0).abs() > 0.0;
        if trainable.pairs.is_empty() && is_given {
            return Err(TrainError::Option {
                option,
                expected: expected.into(),
                found,
            });
        }
        Ok(())
    }

    /// Trains what [`Self::prepare`] made ready.
    ///
    /// # Errors
    /// A loss or a weight that is not finite, a batch that does not fit, a disk that refuses; the last checkpoint stays.
    /// [`RunError::Interrupted`] when somebody asked to stop.
    pub fn train(
        &mut self,
        ready: Ready<'a, T::Model>,
    ) -> Result<(T::Model, TrainReport), TrainError> {
        let state = ready.state;
        self.checkpoints().tidy()?;
        let log = self.dir.join(LOG_FILE);
        let log = match state.step {
            0 => TrainLog::create(&log)?,
            step => TrainLog::resume(&log, step as u64, state.pending)?,
        };
        let mut progress = Progress {
            groups: ready.groups,
            trainable: ready.trainable,
            model: ready.model,
            optimizer: ready.optimizer,
            seconds_before: state.seconds,
            state,
            log,
            since: Instant::now(),
        };
        let mut plans = ready.plans;
        let stopped_early = self.steps(&mut progress, &mut plans)?;
        self.finish(progress, &mut plans, stopped_early)
    }

    /// Returns whether the run stopped for lack of improvement.
    fn steps(
        &mut self,
        progress: &mut Progress<T::Model>,
        plans: &mut Plans<'_>,
    ) -> Result<bool, TrainError> {
        loop {
            if !progress.state.pending {
                let patience = self.options.patience.unwrap_or(usize::MAX);
                if progress.state.without_improvement >= patience {
                    return Ok(true);
                }
                if progress.state.step >= progress.state.total {
                    return Ok(false);
                }
                self.take_step(progress, plans)?;
            }
            match self.after_step(progress, plans) {
                Err(TrainError::Run(RunError::Stopped)) => {
                    return Err(self.interrupted(progress, plans));
                }
                outcome => outcome?,
            }
        }
    }

    /// Takes one step; what may follow it is pending then.
    fn take_step(
        &mut self,
        progress: &mut Progress<T::Model>,
        plans: &mut Plans<'_>,
    ) -> Result<(), TrainError> {
        let (epoch, batch) = (progress.state.epoch, progress.state.batch);
        let batches = plans.epoch(epoch)?;
        let end = (batch + self.options.accumulation).min(batches.len());
        let ends = end == batches.len();
        let group = batches[batch..end].to_vec();
        self.step(progress, &group, plans.lengths())?;
        progress.state.pending = true;
        (progress.state.epoch, progress.state.batch) = match ends {
            true => (epoch + 1, 0),
            false => (epoch, end),
        };
        Ok(())
    }

    /// Evaluates and saves, where it is time for that.
    fn after_step(
        &mut self,
        progress: &mut Progress<T::Model>,
        plans: &mut Plans<'_>,
    ) -> Result<(), TrainError> {
        self.stop.check()?;
        let state = &progress.state;
        let (epoch_ends, last) = (state.batch == 0, state.step == state.total);
        let due = |every: Option<usize>| match every {
            Some(every) => state.step.is_multiple_of(every) || last,
            None => epoch_ends || last,
        };
        let (evaluate, save) = (due(self.options.eval_every), due(self.options.save_every));
        let improved = evaluate && self.evaluate(progress)?;
        progress.state.pending = false;
        let keep_best =
            improved && (self.options.select == Select::Best || self.options.patience.is_some());
        if save || keep_best {
            self.checkpoint(progress, plans)?;
        }
        Ok(())
    }

    /// Writes what a run that was asked to stop is to go on from.
    fn interrupted(&self, progress: &mut Progress<T::Model>, plans: &mut Plans<'_>) -> TrainError {
        let step = progress.state.step;
        match self.checkpoint(progress, plans) {
            Ok(()) => RunError::Interrupted {
                step,
                checkpoint: self.checkpoints().path(step),
            }
            .into(),
            Err(error) => error,
        }
    }

    fn checkpoint(
        &self,
        progress: &mut Progress<T::Model>,
        plans: &mut Plans<'_>,
    ) -> Result<(), TrainError> {
        self.check_finite(progress, plans)?;
        progress.state.seconds = progress.seconds();
        let transforms: BTreeMap<_, _> = self.transforms.state();
        self.checkpoints()
            .save(&progress.state, &progress.optimizer, &transforms, |dir| {
                self.trained.save(&progress.model, dir)
            })
    }

    fn finish(
        &self,
        mut progress: Progress<T::Model>,
        plans: &mut Plans<'_>,
        stopped_early: bool,
    ) -> Result<(T::Model, TrainReport), TrainError> {
        self.check_finite(&progress, plans)?;
        let seconds = progress.seconds();
        let state = progress.state.clone();
        let best_step = state.best.map(|(step, _)| step);
        let selected_step = match self.options.select {
            Select::Best => best_step.unwrap_or(state.step),
            Select::Last => state.step,
        };
        let mut scores = state
            .last_scores
            .filter(|(step, _)| *step == selected_step)
            .map(|(_, scores)| scores);
        let mut model = progress.model.clone();
        if selected_step != state.step {
            model = self
                .trained
                .restore(model, &self.checkpoints().path(selected_step))?;
            model = self.ties.broadcast(model);
        }
        if scores.is_none() {
            let valid = model.valid();
            scores = match self.task.evaluate(&valid, &device_of(&valid), &self.stop) {
                Err(TrainError::Run(RunError::Stopped)) => {
                    return Err(self.interrupted(&mut progress, plans));
                }
                scores => scores?,
            };
        }
        self.trained.save(&model, &self.dir)?;
        let report = TrainReport {
            steps: state.step,
            tokens: state.tokens,
            seconds,
            scores,
            best_step,
            judged_by: self.task.headline().key(),
            selected_step,
            stopped_early,
        };
        Ok((model, report))
    }

    pub(crate) fn checkpoints(&self) -> Checkpoints {
        Checkpoints::new(&self.dir, self.options.keep_checkpoints)
    }
}

impl<M> Progress<M> {
    pub(crate) fn seconds(&self) -> f64 {
        self.seconds_before + self.since.elapsed().as_secs_f64()
    }
}

/// The device that a model's first parameter lives on.
pub(crate) fn device_of<M: Module>(model: &M) -> Device {
    model.devices().into_iter().next().unwrap_or_default()
}
