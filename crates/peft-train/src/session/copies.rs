//! Copies of the model on other devices: how they come about and keep up with it, and which part of a step each does.

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};
use peft_core::{Observers, Pass, Trainable, ValuesById, gradient};

use super::Session;
use super::step::step_seed;
use crate::TrainError;
use crate::accumulate;
use crate::options::TrainOptions;
use crate::spread::{Spread, device_of, finish};
use crate::task::Task;

/// Examples of one batch, and what their mean loss counts in that of the step.
struct Part {
    examples: Vec<usize>,
    share: f64,
}

/// What a step, or a device's part of it, found out.
#[derive(Default)]
pub(super) struct Found {
    pub(super) grads: Option<GradientsParams>,
    /// Shares and losses of the batches, and those of layers.
    pub(super) losses: Vec<(f64, Tensor<1>)>,
    pub(super) of_layers: Vec<Tensor<1>>,
}

impl<T: Task> Session<'_, T> {
    /// The model and its copies, which have its values by now.
    pub(super) fn spread(&mut self) -> Spread<T::Model> {
        let spread = Spread::one(&self.model);
        if self.setup.devices.is_empty() {
            return spread;
        }
        if self.copies.is_empty() {
            let devices = self.setup.devices.iter();
            let copy = |device: &Device| (self.model.clone().fork(device), device.clone());
            self.copies = devices.map(copy).collect();
        } else {
            let values = ValuesById::trained(&self.model);
            let copies = std::mem::take(&mut self.copies).into_iter();
            let copies = copies.map(|(model, device)| (values.give(model, Some), device));
            self.copies = copies.collect();
        }
        spread.with(&self.copies)
    }

    /// Gradients of the mean loss over all examples of the group; nobody reads the loss yet. Where somebody watches, the model's own device does
    /// everything, in order.
    pub(super) fn backward(
        &mut self,
        group: &[Vec<usize>],
        seed: u64,
        mut observers: Observers<'_>,
    ) -> Result<Found, TrainError> {
        if observers.0.is_empty() && !self.setup.devices.is_empty() {
            return self.backward_on_all(group, seed);
        }
        let dealt = self.deal(group, 1);
        let mut pass = pass(self.setup.options, seed);
        if !observers.0.is_empty() {
            pass = pass.with_observer(&mut observers);
        }
        let device = device_of(&self.model);
        let task = self.setup.task;
        backward(task, &self.model, &device, &dealt[0], &self.trainable, pass)
    }

    /// The same, each batch cut between the devices by tokens.
    ///
    /// Sums run in the order of the devices, so that a step is the same however fast each is. Every device draws masks of its own.
    fn backward_on_all(&mut self, group: &[Vec<usize>], seed: u64) -> Result<Found, TrainError> {
        let spread = self.spread();
        let dealt = self.deal(group, 1 + self.copies.len());
        let (task, options, trainable) = (self.setup.task, self.setup.options, &self.trainable);
        let found = spread.each(|at, model, device| {
            let seed = step_seed(seed, at);
            device.seed(seed);
            let pass = pass(options, seed);
            let found = backward(task, model, device, &dealt[at], trainable, pass)?;
            if at > 0 {
                // So that a copy that is lost is known before anything of it is asked for at home, which would be lost with it.
                finish(at, device)?;
            }
            Ok(found)
        })?;
        let home = device_of(&self.model).inner();
        let mut sum = Found::default();
        for part in found {
            // A device beside a small batch has nothing to do.
            if let Some(grads) = part.grads {
                let grads = grads.to_device(&home, &self.model);
                sum.grads = Some(accumulate::add(sum.grads, grads, &self.trainable));
            }
            // Home at once: what is read later must not hang on a copy that may be lost by then.
            let losses = part.losses.into_iter();
            let losses = losses.map(|(share, loss)| (share, loss.to_device(&home)));
            sum.losses.extend(losses);
            let of_layers = part.of_layers.into_iter();
            let of_layers = of_layers.map(|loss| loss.to_device(&home));
            sum.of_layers.extend(of_layers);
        }
        Ok(sum)
    }

    /// For each of so many devices its part of every batch.
    fn deal(&self, group: &[Vec<usize>], devices: usize) -> Vec<Vec<Part>> {
        let task = self.setup.task;
        let whole: f64 = group.iter().map(|batch| task.weight(batch)).sum();
        let mut dealt: Vec<Vec<Part>> = (0..devices).map(|_| Vec::new()).collect();
        for batch in group {
            let parts = cut(batch, self.plans.lengths(), devices);
            for (examples, dealt) in parts.into_iter().zip(&mut dealt) {
                let share = task.weight(&examples) / whole;
                dealt.push(Part { examples, share });
            }
        }
        dealt
    }
}

/// A training pass whose masks follow from `seed`.
fn pass<'o>(options: &TrainOptions, seed: u64) -> Pass<'o> {
    let pass = Pass::train(seed);
    match options.gradient_checkpointing {
        true => pass.with_recomputation(),
        false => pass,
    }
}

/// What one device makes of its parts.
fn backward<T: Task>(
    task: &T,
    model: &T::Model,
    device: &Device,
    parts: &[Part],
    trainable: &Trainable,
    mut pass: Pass<'_>,
) -> Result<Found, TrainError> {
    let mut found = Found::default();
    for Part { examples, share } in parts {
        let loss = task.loss(model, examples, device, &mut pass)?;
        found.losses.push((*share, loss.clone().without_autodiff()));
        pass.backward(loss, *share, |part| {
            let part = gradient::of(part, model);
            let sum = accumulate::add(found.grads.take(), part, trainable);
            found.grads = Some(sum);
        });
    }
    found.of_layers = pass.loss_of_layers().into_iter().collect();
    Ok(found)
}

/// A batch in at most so many parts, one after the other, of about as many tokens each; none is empty.
fn cut(batch: &[usize], lengths: &[usize], parts: usize) -> Vec<Vec<usize>> {
    let tokens = |examples: &[usize]| -> usize { examples.iter().map(|row| lengths[*row]).sum() };
    let mut rest = batch;
    let mut cut = Vec::new();
    for left in (1..=parts).rev() {
        if rest.is_empty() {
            break;
        }
        // What is left is shared by those who have nothing yet; everybody gets an example as long as there are any.
        let fair = tokens(rest).div_ceil(left);
        let most = rest.len().saturating_sub(left - 1).max(1);
        let enough = (1..=most).find(|count| tokens(&rest[..*count]) >= fair);
        let (part, others) = rest.split_at(enough.unwrap_or(most));
        cut.push(part.to_vec());
        rest = others;
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_cut_by_tokens_and_nobody_goes_without() {
        let lengths = [8, 1, 1, 1, 1, 4, 4, 4];
        assert_eq!(
            cut(&[0, 1, 2, 3, 4], &lengths, 2),
            [vec![0], vec![1, 2, 3, 4]]
        );
        assert_eq!(cut(&[5, 6, 7], &lengths, 3), [[5], [6], [7]]);
        assert_eq!(cut(&[5, 6], &lengths, 3), [[5], [6]]);
        assert_eq!(cut(&[1, 2, 3, 0], &lengths, 2), [vec![1, 2, 3], vec![0]]);
        assert_eq!(cut(&[4], &lengths, 1), [[4]]);
        let long = cut(&[0, 1, 2, 3, 4, 5, 6, 7], &lengths, 4);
        assert_eq!(long.concat(), [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(long.len(), 4);
    }
}
