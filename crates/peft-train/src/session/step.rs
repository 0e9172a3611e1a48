//! One step of a run: forward, backward, procedures, optimizer; and one evaluation.

use burn::optim::GradientsParams;
use peft_core::{Moment, Observers};
use serde_json::json;

use super::Session;
use crate::TrainError;
use crate::callback::{Record, Step};
use crate::group::Rates;
use crate::spread::device_of;
use crate::task::Task;

impl<T: Task> Session<'_, T> {
    /// One step of the optimizer on these batches.
    pub(super) fn step_on(&mut self, group: &[Vec<usize>]) -> Result<(), TrainError> {
        let seed = step_seed(self.setup.options.seed, self.state.step);
        device_of(&self.model).seed(seed);
        let mut step = Step {
            index: self.state.step,
            total: self.state.total,
            epoch: self.state.epoch,
            lr: self.setup.options.lr,
            tokens: self.state.tokens,
        };
        self.unread.step_begins();
        let mut callbacks = std::mem::take(&mut self.setup.callbacks);
        let each = callbacks.iter_mut();
        each.for_each(|callback| callback.step_begin(&mut step));
        let watching = callbacks.iter_mut().filter_map(|each| each.observer());
        let found = self.backward(group, seed, Observers(watching.collect()));
        self.setup.callbacks = callbacks;
        let found = found?;
        let losses = found.losses.into_iter();
        losses.for_each(|(share, loss)| self.unread.loss(step.index, share, loss));
        for loss in found.of_layers {
            self.unread.add_figure("loss_of_layers", loss);
        }
        self.take(found.grads.unwrap_or_default(), &mut step)?;
        let lengths = self.plans.lengths();
        let seen: usize = group.iter().flatten().map(|row| lengths[*row]).sum();
        self.state.tokens += seen;
        step.tokens = self.state.tokens;
        let callbacks = self.setup.callbacks.iter_mut();
        callbacks.for_each(|callback| callback.step_end(&step));
        self.record(step)
    }

    /// Lets procedures and the optimizer make a step of the gradients.
    fn take(&mut self, mut grads: GradientsParams, step: &mut Step) -> Result<(), TrainError> {
        let procedures = &mut self.setup.procedures;
        let mut at = Moment {
            step: step.index,
            total: step.total,
        };
        let factor = procedures.rate(at);
        step.lr *= factor;
        self.setup.ties.gather(&mut grads);
        if let Some(norm) = self.groups.clip(&mut grads) {
            self.unread.add_figure("grad_norm", norm);
        }
        let rates = Rates {
            index: step.index,
            usual: step.lr,
            factor,
        };
        let optimizer = &mut self.optimizer;
        let model = self
            .groups
            .step(self.model.clone(), grads, optimizer, rates, procedures)?;
        self.model = self.setup.ties.broadcast(model);
        self.state.step += 1;
        at.step += 1;
        let reset = procedures.after_step(at, self.subject.as_ref(), &mut self.model)?;
        if let Some(reset) = reset {
            // More may have changed than what trains.
            self.copies.clear();
            self.model = self.setup.ties.broadcast(self.model.clone());
            let options = self.setup.options;
            self.groups.forget(options, optimizer, &reset);
        }
        Ok(())
    }

    /// Logs where it is time for that.
    fn record(&mut self, step: Step) -> Result<(), TrainError> {
        let taken = step.index + 1;
        if !taken.is_multiple_of(self.setup.options.log_every) && taken != step.total {
            return Ok(());
        }
        let figures = self.read()?;
        let (sum, steps) = std::mem::take(&mut self.state.window);
        let record = Record {
            loss: sum / steps as f64,
            step,
            figures,
        };
        let step = &record.step;
        let mut line = json!({
            "kind": "train",
            "step": taken,
            "epoch": step.epoch,
            "loss": record.loss,
            "lr": step.lr,
            "tokens": step.tokens,
            "seconds": self.seconds(),
        });
        for (name, value) in &record.figures {
            line[*name] = json!(value);
        }
        let callbacks = self.setup.callbacks.iter_mut();
        callbacks.for_each(|callback| callback.recorded(&record));
        self.append(&line)
    }

    fn append(&mut self, record: &serde_json::Value) -> Result<(), TrainError> {
        match &mut self.log {
            Some(log) => log.append(record),
            None => Ok(()),
        }
    }

    /// Scores the model as it is by now and logs that; whether it is the best so far.
    ///
    /// # Errors
    /// A loss that is not finite, a request to stop.
    pub fn evaluate(&mut self) -> Result<bool, TrainError> {
        self.read()?;
        let spread = self.spread().valid();
        let evaluated = self.setup.task.evaluate(&spread, &self.setup.stop)?;
        let Some(scores) = evaluated else {
            return Ok(false);
        };
        let step = self.state.step;
        if !scores.loss.is_finite() {
            return Err(self.setup.loss_not_finite(step, scores.loss));
        }
        let rank = scores.rank(&self.setup.task.headline());
        let improved = self.state.best.is_none_or(|(_, best)| rank > best);
        if improved {
            self.state.best = Some((step, rank));
            self.state.without_improvement = 0;
        } else {
            self.state.without_improvement += 1;
        }
        let callbacks = self.setup.callbacks.iter_mut();
        callbacks.for_each(|callback| callback.evaluated(step, &scores));
        let mut record = json!({
            "kind": "eval",
            "step": step,
            "loss": scores.loss,
            "metrics": scores.metrics,
            "best": improved,
            "seconds": self.seconds(),
        });
        if !scores.samples.is_empty() {
            record["samples"] = json!(scores.samples);
        }
        self.append(&record)?;
        self.state.last_scores = Some((step, scores));
        Ok(improved)
    }
}

/// A seed for one step that differs from all others of the run (SplitMix64's finaliser).
pub(super) fn step_seed(seed: u64, step: usize) -> u64 {
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
