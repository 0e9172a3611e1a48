//! One step of a run: forward, backward, gradient transforms, optimizer; and one evaluation.

use burn::module::Module;
use burn::optim::GradientsParams;
use peft_core::{Observers, Pass};
use serde_json::json;

use crate::TrainError;
use crate::accumulate;
use crate::callback::Step;
use crate::task::Task;
use crate::trainer::{Progress, Trainer, device_of};

impl<T: Task> Trainer<'_, T> {
    pub(crate) fn step(
        &mut self,
        progress: &mut Progress<T::Model>,
        group: &[Vec<usize>],
        lengths: &[usize],
    ) -> Result<(), TrainError> {
        let total = progress.state.total;
        let seed = step_seed(self.options.seed, progress.state.step);
        device_of(&progress.model).seed(seed);
        let mut step = Step {
            index: progress.state.step,
            total,
            epoch: progress.state.epoch,
            lr: self.options.lr,
            loss: 0.0,
            mean_loss: 0.0,
            tokens: progress.state.tokens,
            figures: vec![],
        };
        self.callbacks
            .iter_mut()
            .for_each(|callback| callback.step_begin(&mut step));
        let mut callbacks = std::mem::take(&mut self.callbacks);
        let watching = callbacks.iter_mut().filter_map(|each| each.observer());
        let mut observers = Observers(watching.collect());
        let grads = self.backward(progress, group, &mut step, self.pass(seed, &mut observers));
        self.callbacks = callbacks;
        let mut grads = grads?;
        self.ties.gather(&mut grads);
        for callback in &mut self.callbacks {
            callback.after_backward(&step, &mut grads, &progress.trainable);
        }
        let figures = self.transforms.transform(&mut grads, &progress.trainable)?;
        step.figures.extend(figures);
        step.figures.extend(progress.groups.clip(&mut grads)?);
        let model = progress.groups.step(
            progress.model.clone(),
            grads,
            &mut progress.optimizer,
            (step.index, step.lr),
            self.preconditioner.as_deref(),
        )?;
        progress.model = self.ties.broadcast(model);
        let seen: usize = group
            .iter()
            .flatten()
            .map(|example| lengths[*example])
            .sum();
        progress.state.tokens += seen;
        progress.state.step += 1;
        step.tokens = progress.state.tokens;
        let window = &mut progress.state.window;
        *window = (window.0 + step.loss, window.1 + 1);
        step.mean_loss = window.0 / window.1 as f64;
        self.callbacks
            .iter_mut()
            .for_each(|callback| callback.step_end(&step));
        self.record(progress, &step)
    }

    fn pass<'o>(&self, seed: u64, observers: &'o mut Observers<'_>) -> Pass<'o> {
        let mut pass = Pass::train(seed);
        if self.options.gradient_checkpointing {
            pass = pass.with_recomputation();
        }
        if observers.0.is_empty() {
            pass
        } else {
            pass.with_observer(observers)
        }
    }

    /// Gradients of the mean loss over all examples of the group; the loss is added to `step`.
    fn backward(
        &self,
        progress: &Progress<T::Model>,
        group: &[Vec<usize>],
        step: &mut Step,
        mut pass: Pass<'_>,
    ) -> Result<GradientsParams, TrainError> {
        let device = device_of(&progress.model);
        let whole: f64 = group.iter().map(|batch| self.task.weight(batch)).sum();
        let mut grads = None;
        for batch in group {
            let share = self.task.weight(batch) / whole;
            let loss = self.task.loss(&progress.model, batch, &device, &mut pass)?;
            let value = f64::from(loss.clone().into_scalar::<f32>());
            if !value.is_finite() {
                return Err(self.loss_not_finite(step.index, value));
            }
            step.loss += share * value;
            pass.backward(loss, share, |part| {
                let part = GradientsParams::from_grads(part, &progress.model);
                grads = Some(accumulate::add(grads.take(), part, &progress.trainable));
            });
        }
        if let Some(value) = pass.loss_of_layers() {
            step.figures.push(("loss_of_layers", value));
        }
        Ok(grads.unwrap_or_default())
    }

    fn record(&self, progress: &mut Progress<T::Model>, step: &Step) -> Result<(), TrainError> {
        let taken = step.index + 1;
        if !taken.is_multiple_of(self.options.log_every) && taken != step.total {
            return Ok(());
        }
        progress.state.window = (0.0, 0);
        let mut record = json!({
            "kind": "train",
            "step": taken,
            "epoch": step.epoch,
            "loss": step.mean_loss,
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
    pub(crate) fn evaluate(
        &mut self,
        progress: &mut Progress<T::Model>,
    ) -> Result<bool, TrainError> {
        let model = progress.model.valid();
        let evaluated = self.task.evaluate(&model, &device_of(&model), &self.stop)?;
        let Some(scores) = evaluated else {
            return Ok(false);
        };
        let step = progress.state.step;
        if !scores.loss.is_finite() {
            return Err(self.loss_not_finite(step, scores.loss));
        }
        let rank = scores.rank(&self.task.headline());
        let improved = progress.state.best.is_none_or(|(_, best)| rank > best);
        if improved {
            progress.state.best = Some((step, rank));
            progress.state.without_improvement = 0;
        } else {
            progress.state.without_improvement += 1;
        }
        self.callbacks
            .iter_mut()
            .for_each(|callback| callback.evaluated(step, &scores));
        let mut record = json!({
            "kind": "eval",
            "step": step,
            "loss": scores.loss,
            "metrics": scores.metrics,
            "best": improved,
            "seconds": progress.seconds(),
        });
        if !scores.samples.is_empty() {
            record["samples"] = json!(scores.samples);
        }
        progress.log.append(&record)?;
        progress.state.last_scores = Some((step, scores));
        Ok(improved)
    }
}

/// A seed for one step that differs from all others of the run (SplitMix64's finaliser).
fn step_seed(seed: u64, step: usize) -> u64 {
    let mut z = seed.wrapping_add((step as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_of_every_run_has_a_seed_of_its_own() {
        let seeds: std::collections::HashSet<u64> = (0..100)
            .flat_map(|seed| (0..100).map(move |step| step_seed(seed, step)))
            .collect();
        assert_eq!(seeds.len(), 10_000);
    }
}
