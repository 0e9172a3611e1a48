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
use crate::callback::{Callback, ScheduledRate};
use crate::checkpoint::{Checkpoints, RunState};
use crate::data::{BatchOptions, BatchPlan};
use crate::group::Groups;
use crate::head_rate::OwnRate;
use crate::log::TrainLog;
use crate::options::{Select, TrainOptions};
use crate::schedule::Schedule;
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
    /// Digest of settings and data, which a resumed run must share.
    pub fingerprint: String,
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
    /// Loss and token sums since the last training record.
    pub(crate) window: (f64, usize),
}

impl<T: Task> Trainer<'_, T> {
    /// Trains `model`, which lives on an autodiff device, and returns it with a report.
    ///
    /// # Errors
    /// A loss that is not finite, a batch that does not fit, a disk that refuses; the last checkpoint stays.
    pub fn run(
        &mut self,
        model: T::Model,
        resume: bool,
    ) -> Result<(T::Model, TrainReport), TrainError> {
        self.options.check()?;
        let lengths = self.task.lengths();
        let (plans, total) = self.plans(&lengths)?;
        if total == 0 {
            return Err(TrainError::NothingToTrain);
        }
        let schedule = Schedule::new(self.options.schedule, self.options.warmup, total)?;
        let peak = self.options.lr;
        self.callbacks
            .insert(0, Box::new(ScheduledRate { peak, schedule }));
        let mut progress = self.begin(model, resume, total)?;
        let stopped_early = self.epochs(&mut progress, &plans, &lengths, total)?;
        self.finish(progress, stopped_early)
    }

    /// What of the output layer trains at a rate of its own.
    ///
    /// # Errors
    /// As [`OwnRate::of`].
    pub fn own_rate(&self, model: &T::Model) -> Result<Option<OwnRate>, TrainError> {
        OwnRate::of(self.options, model, self.names, &self.fresh)
    }

    /// Refuses settings of low-rank pairs where none train.
    fn need_pairs(&self, trainable: &Trainable) -> Result<(), TrainError> {
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

    /// The batches of every epoch that is begun, and the steps of the run.
    fn plans(&self, lengths: &[usize]) -> Result<(Vec<BatchPlan>, usize), TrainError> {
        let limit = self.options.max_steps.unwrap_or(usize::MAX);
        let (mut plans, mut steps) = (Vec::new(), 0);
        while plans.len() < self.options.epochs && steps < limit && !lengths.is_empty() {
            let options = BatchOptions {
                batch_size: self.options.batch_size,
                max_tokens: self.options.max_tokens,
                group_by_length: self.options.group_by_length,
                seed: self.options.seed,
                epoch: plans.len() as u64,
            };
            let plan = BatchPlan::new(lengths, &options)?;
            steps += plan.len().div_ceil(self.options.accumulation);
            plans.push(plan);
        }
        Ok((plans, steps.min(limit)))
    }

    fn begin(
        &mut self,
        model: T::Model,
        resume: bool,
        total: usize,
    ) -> Result<Progress<T::Model>, TrainError> {
        let optimizer = self.options.optimizer.init(self.options);
        let log = self.dir.join(LOG_FILE);
        let last = if resume {
            self.checkpoints().steps()?.pop()
        } else {
            None
        };
        let (model, optimizer, state, log) = match last {
            None => (
                model,
                optimizer,
                RunState::start(self.fingerprint.clone()),
                TrainLog::create(&log)?,
            ),
            Some(step) => {
                let state = self.checkpoints().state(step, &self.fingerprint)?;
                let (optimizer, transforms) = self.checkpoints().optimizer(step, optimizer)?;
                self.transforms.load_state(transforms)?;
                let model = self
                    .trained
                    .restore(model, &self.checkpoints().path(step))?;
                (
                    self.ties.broadcast(model),
                    optimizer,
                    state,
                    TrainLog::resume(&log, step as u64)?,
                )
            }
        };
        let trainable = Trainable::of(&model, self.names);
        self.need_pairs(&trainable)?;
        let head = self.own_rate(&model)?;
        Ok(Progress {
            groups: Groups::new(self.options, &trainable, head.as_ref(), total)?,
            trainable,
            model,
            optimizer,
            seconds_before: state.seconds,
            state,
            log,
            since: Instant::now(),
            window: (0.0, 0),
        })
    }

    /// Returns whether the run stopped for lack of improvement.
    fn epochs(
        &mut self,
        progress: &mut Progress<T::Model>,
        plans: &[BatchPlan],
        lengths: &[usize],
        total: usize,
    ) -> Result<bool, TrainError> {
        while progress.state.epoch < plans.len() && progress.state.step < total {
            let batches = plans[progress.state.epoch].batches();
            let end = (progress.state.batch + self.options.accumulation).min(batches.len());
            let group = &batches[progress.state.batch..end];
            self.step(progress, group, lengths, total)?;
            progress.state.batch = end;
            let epoch_ends = end == batches.len();
            if epoch_ends {
                progress.state.epoch += 1;
                progress.state.batch = 0;
            }
            let last = progress.state.step == total;
            let due = |every: Option<usize>| match every {
                Some(every) => progress.state.step.is_multiple_of(every) || last,
                None => epoch_ends || last,
            };
            let (evaluate, save) = (due(self.options.eval_every), due(self.options.save_every));
            let improved = evaluate && self.evaluate(progress)?;
            let keep_best = improved
                && (self.options.select == Select::Best || self.options.patience.is_some());
            if save || keep_best {
                self.checkpoint(progress)?;
            }
            if let Some(patience) = self.options.patience
                && progress.state.without_improvement >= patience
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn checkpoint(&self, progress: &mut Progress<T::Model>) -> Result<(), TrainError> {
        progress.state.seconds = progress.seconds();
        let transforms: BTreeMap<_, _> = self.transforms.state();
        self.checkpoints()
            .save(&progress.state, &progress.optimizer, &transforms, |dir| {
                self.trained.save(&progress.model, dir)
            })
    }

    fn finish(
        &self,
        progress: Progress<T::Model>,
        stopped_early: bool,
    ) -> Result<(T::Model, TrainReport), TrainError> {
        let seconds = progress.seconds();
        let state = progress.state;
        let best_step = state.best.map(|(step, _)| step);
        let selected_step = match self.options.select {
            Select::Best => best_step.unwrap_or(state.step),
            Select::Last => state.step,
        };
        let mut scores = state
            .last_scores
            .filter(|(step, _)| *step == selected_step)
            .map(|(_, scores)| scores);
        let mut model = progress.model;
        if selected_step != state.step {
            model = self
                .trained
                .restore(model, &self.checkpoints().path(selected_step))?;
            model = self.ties.broadcast(model);
        }
        if scores.is_none() {
            let valid = model.valid();
            scores = self.task.evaluate(&valid, &device_of(&valid))?;
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
