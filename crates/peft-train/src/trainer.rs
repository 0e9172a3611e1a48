//! The training loop: batches, backward, gradient transforms, optimizer step, evaluation, checkpoints.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use burn::module::Module;
use burn::optim::{AdamWConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::Device;
use peft_core::gradient::{Chain, ClipNorm};
use peft_core::tie::TieGroups;
use peft_core::{ParamNames, Pass, Trainable};
use serde::Serialize;
use serde_json::json;

use crate::TrainError;
use crate::accumulate;
use crate::callback::{Callback, ScheduledRate, Step};
use crate::checkpoint::{Checkpoints, RunState};
use crate::data::{BatchOptions, BatchPlan};
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
    /// Parameters that are one.
    pub ties: TieGroups,
    /// Applied to the gradients before the norm is clipped.
    pub transforms: Chain,
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
struct Progress<M> {
    model: M,
    optimizer: ModuleOptimizer,
    state: RunState,
    trainable: Trainable,
    log: TrainLog,
    since: Instant,
    seconds_before: f64,
    /// Loss and token sums since the last training record.
    window: (f64, usize),
}

impl<T: Task> Trainer<'_, T> {
    /// Trains `model`, which lives on an autodiff device, and returns it with a report.
    ///
    /// # Errors
    /// A loss that is not finite, a batch that does not fit, a disk that refuses; the last checkpoint stays.
    pub fn run(&mut self, model: T::Model, resume: bool) -> Result<(T::Model, TrainReport), TrainError> {
        self.options.check()?;
        let lengths = self.task.lengths();
        let plans = self.plans(&lengths)?;
        let total = self.total_steps(&plans);
        if total == 0 {
            return Err(TrainError::NothingToTrain);
        }
        if self.options.clip_norm > 0.0 {
            let max_norm = self.options.clip_norm;
            self.transforms.0.push(Box::new(ClipNorm { max_norm }));
        }
        let schedule = Schedule::new(self.options.schedule, self.options.warmup, total)?;
        let peak = self.options.lr;
        self.callbacks.insert(0, Box::new(ScheduledRate { peak, schedule }));
        let mut progress = self.begin(model, resume)?;
        let stopped_early = self.epochs(&mut progress, &plans, &lengths, total)?;
        self.finish(progress, stopped_early)
    }

    fn plans(&self, lengths: &[usize]) -> Result<Vec<BatchPlan>, TrainError> {
        (0..self.options.epochs)
            .map(|epoch| {
                let options = BatchOptions {
                    batch_size: self.options.batch_size,
                    max_tokens: self.options.max_tokens,
                    group_by_length: self.options.group_by_length,
                    seed: self.options.seed,
                    epoch: epoch as u64,
                };
                BatchPlan::new(lengths, &options)
            })
            .collect()
    }

    fn total_steps(&self, plans: &[BatchPlan]) -> usize {
        let steps = plans.iter().map(|plan| plan.len().div_ceil(self.options.accumulation)).sum();
        self.options.max_steps.map_or(steps, |limit| limit.min(steps))
    }

    fn begin(&mut self, model: T::Model, resume: bool) -> Result<Progress<T::Model>, TrainError> {
        let optimizer = AdamWConfig::new()
            .with_beta_1(self.options.beta1 as f32)
            .with_beta_2(self.options.beta2 as f32)
            .with_epsilon(self.options.epsilon as f32)
            .with_weight_decay(self.options.weight_decay as f32)
            .init();
        let log = self.dir.join(LOG_FILE);
        let last = if resume { self.checkpoints().steps()?.pop() } else { None };
        let (model, optimizer, state, log) = match last {
            None => (model, optimizer, RunState::start(self.fingerprint.clone()), TrainLog::create(&log)?),
            Some(step) => {
                let state = self.checkpoints().state(step, &self.fingerprint)?;
                let (optimizer, transforms) = self.checkpoints().optimizer(step, optimizer)?;
                self.transforms.load_state(transforms)?;
                let model = self.trained.restore(model, &self.checkpoints().path(step))?;
                (self.ties.broadcast(model), optimizer, state, TrainLog::resume(&log, step as u64)?)
            }
        };
        Ok(Progress {
            trainable: Trainable::of(&model, self.names),
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
                Some(every) => progress.state.step % every == 0 || last,
                None => epoch_ends || last,
            };
            let (evaluate, save) = (due(self.options.eval_every), due(self.options.save_every));
            let improved = evaluate && self.evaluate(progress)?;
            let keep_best = improved && (self.options.select == Select::Best || self.options.patience.is_some());
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

    fn step(
        &mut self,
        progress: &mut Progress<T::Model>,
        group: &[Vec<usize>],
        lengths: &[usize],
        total: usize,
    ) -> Result<(), TrainError> {
        let device = device_of(&progress.model);
        device.seed(step_seed(self.options.seed, progress.state.step));
        let mut step = Step {
            index: progress.state.step,
            total,
            epoch: progress.state.epoch,
            lr: self.options.lr,
            loss: 0.0,
            tokens: progress.state.tokens,
            figures: vec![],
        };
        self.callbacks.iter_mut().for_each(|callback| callback.step_begin(&mut step));
        let examples: usize = group.iter().map(Vec::len).sum();
        let mut grads = None;
        for batch in group {
            let share = batch.len() as f64 / examples as f64;
            let loss = self.task.loss(&progress.model, batch, &device, &mut Pass::train())?;
            let value = f64::from(loss.clone().into_scalar::<f32>());
            if !value.is_finite() {
                return Err(self.not_finite(step.index, value));
            }
            step.loss += share * value;
            let loss = if group.len() == 1 { loss } else { loss.mul_scalar(share) };
            let batch_grads = GradientsParams::from_grads(loss.backward(), &progress.model);
            grads = Some(accumulate::add(grads, batch_grads, &progress.trainable));
        }
        let mut grads = grads.unwrap_or_default();
        self.ties.gather(&mut grads);
        for callback in &mut self.callbacks {
            callback.after_backward(&step, &mut grads, &progress.trainable);
        }
        step.figures = self.transforms.transform(&mut grads, &progress.trainable)?;
        let model = progress.optimizer.step(step.lr, progress.model.clone(), grads);
        progress.model = self.ties.broadcast(model);
        let seen: usize = group.iter().flatten().map(|example| lengths[*example]).sum();
        progress.state.tokens += seen;
        progress.state.step += 1;
        step.tokens = progress.state.tokens;
        self.callbacks.iter_mut().for_each(|callback| callback.step_end(&step));
        self.record(progress, &step)
    }

    fn record(&self, progress: &mut Progress<T::Model>, step: &Step) -> Result<(), TrainError> {
        progress.window.0 += step.loss;
        progress.window.1 += 1;
        let taken = step.index + 1;
        if taken % self.options.log_every != 0 && taken != step.total {
            return Ok(());
        }
        let (sum, count) = std::mem::take(&mut progress.window);
        let mut record = json!({
            "kind": "train",
            "step": taken,
            "epoch": step.epoch,
            "loss": sum / count as f64,
            "lr": step.lr,
            "tokens": step.tokens,
            "seconds": progress.seconds(),
        });
        for (name, value) in &step.figures {
            record[*name] = json!(value);
        }
        progress.log.append(&record)
    }

    /// Returns whether the model is the best so far.
    fn evaluate(&mut self, progress: &mut Progress<T::Model>) -> Result<bool, TrainError> {
        let model = progress.model.valid();
        let Some(scores) = self.task.evaluate(&model, &device_of(&model))? else {
            return Ok(false);
        };
        let step = progress.state.step;
        let rank = scores.rank(self.task.headline());
        let improved = progress.state.best.is_none_or(|(_, best)| rank > best);
        if improved {
            progress.state.best = Some((step, rank));
            progress.state.without_improvement = 0;
        } else {
            progress.state.without_improvement += 1;
        }
        self.callbacks.iter_mut().for_each(|callback| callback.evaluated(step, &scores));
        progress.log.append(&json!({
            "kind": "eval",
            "step": step,
            "loss": scores.loss,
            "metrics": scores.metrics,
            "best": improved,
            "seconds": progress.seconds(),
        }))?;
        progress.state.last_scores = Some((step, scores));
        Ok(improved)
    }

    fn checkpoint(&self, progress: &mut Progress<T::Model>) -> Result<(), TrainError> {
        progress.state.seconds = progress.seconds();
        let transforms: BTreeMap<_, _> = self.transforms.state();
        self.checkpoints().save(&progress.state, &progress.optimizer, &transforms, |dir| {
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
        let mut scores = state.last_scores.filter(|(step, _)| *step == selected_step).map(|(_, scores)| scores);
        let mut model = progress.model;
        if selected_step != state.step {
            model = self.trained.restore(model, &self.checkpoints().path(selected_step))?;
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
            selected_step,
            stopped_early,
        };
        Ok((model, report))
    }

    fn checkpoints(&self) -> Checkpoints {
        Checkpoints::new(&self.dir, self.options.keep_checkpoints)
    }

    fn not_finite(&self, step: usize, loss: f64) -> TrainError {
        let last = self.checkpoints().steps().ok().and_then(|mut steps| steps.pop());
        let kept = match last {
            Some(step) => format!("{} is the last good checkpoint", self.checkpoints().path(step).display()),
            None => "there is no checkpoint yet".into(),
        };
        TrainError::LossNotFinite { step, loss, kept }
    }
}

impl<M> Progress<M> {
    fn seconds(&self) -> f64 {
        self.seconds_before + self.since.elapsed().as_secs_f64()
    }
}

/// A seed for one step that differs from all others of the run (SplitMix64's finaliser).
fn step_seed(seed: u64, step: usize) -> u64 {
    let mut z = seed.wrapping_add((step as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The device that a model's first parameter lives on.
fn device_of<M: Module>(model: &M) -> Device {
    model.devices().into_iter().next().unwrap_or_default()
}

