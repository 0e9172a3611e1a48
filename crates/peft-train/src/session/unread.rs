//! What steps found out, as long as it is on the device.
//!
//! A device computes behind the program that asks it. To read a number waits for all that was asked before, so the losses of several
//! steps are read at once, when somebody wants to know them: for the log, before an evaluation and before weights are kept.

use burn::tensor::{FloatDType, Tensor};

use crate::TrainError;
use crate::spread::gone;

/// A loss, and which part of the loss of which step it is.
#[derive(Debug)]
struct Loss {
    step: usize,
    share: f64,
    value: Tensor<1>,
}

/// Numbers that nobody has read yet.
#[derive(Debug, Default)]
pub(super) struct Unread {
    losses: Vec<Loss>,
    /// Of the last step alone, by name.
    figures: Vec<(&'static str, Tensor<1>)>,
}

/// Numbers that were read.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Read {
    /// The loss of each step since the last reading.
    pub(super) losses: Vec<(usize, f64)>,
    /// Of the last step, by name.
    pub(super) figures: Vec<(&'static str, f64)>,
}

impl Unread {
    /// A step begins: the figures of the one before are of no use any more.
    pub(super) fn step_begins(&mut self) {
        self.figures.clear();
    }

    /// The loss of a batch, which counts `share` in that of the step.
    pub(super) fn loss(&mut self, step: usize, share: f64, value: Tensor<1>) {
        self.losses.push(Loss { step, share, value });
    }

    /// A figure of the step; several of one name add up.
    pub(super) fn add_figure(&mut self, name: &'static str, value: Tensor<1>) {
        self.figures.push((name, value));
    }

    /// Reads everything, in one go.
    ///
    /// # Errors
    /// [`RunError::Device`](crate::RunError::Device) where the device is lost.
    pub(super) fn read(&mut self) -> Result<Read, TrainError> {
        let (losses, figures) = (
            std::mem::take(&mut self.losses),
            std::mem::take(&mut self.figures),
        );
        let values = losses.iter().map(|loss| &loss.value);
        let values = values.chain(figures.iter().map(|(_, value)| value));
        let mut values = values.cloned();
        let Some(first) = values.next() else {
            return Ok(Read::default());
        };
        let device = first.device();
        let values = std::iter::once(first).chain(values);
        let values = values.map(|value| value.cast(FloatDType::F32)).collect();
        let values = peft_core::try_read(Tensor::cat(values, 0));
        let failed = |problem| gone(0, format!("{device:?}"), problem);
        let values = values.map_err(failed)?;
        let mut values = values.iter::<f32>().map(f64::from);
        let mut read = Read::default();
        for (loss, value) in losses.iter().zip(&mut values) {
            let value = loss.share * value;
            match read
                .losses
                .last_mut()
                .filter(|(step, _)| *step == loss.step)
            {
                Some((_, sum)) => *sum += value,
                None => read.losses.push((loss.step, value)),
            }
        }
        for ((name, _), value) in figures.iter().zip(values) {
            match read.figures.iter_mut().find(|(known, _)| known == name) {
                Some((_, sum)) => *sum += value,
                None => read.figures.push((name, value)),
            }
        }
        Ok(read)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic is the failure report")]
mod tests {
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn the_losses_of_a_step_are_added_by_their_shares_and_read_once() {
        let device = Device::flex();
        let number = |value: f32| Tensor::<1>::from_floats([value], &device);
        let mut unread = Unread::default();
        assert_eq!(unread.read().unwrap(), Read::default());
        unread.loss(3, 0.25, number(4.0));
        unread.loss(3, 0.75, number(2.0));
        unread.add_figure("norm", number(1.0));
        unread.step_begins();
        unread.loss(4, 1.0, number(f32::NAN));
        unread.add_figure("norm", number(5.0));
        let read = unread.read().unwrap();
        assert_eq!(read.losses[0], (3, 2.5));
        assert!(read.losses[1].0 == 4 && read.losses[1].1.is_nan());
        assert_eq!(read.figures, [("norm", 5.0)]);
        assert_eq!(unread.read().unwrap(), Read::default());
    }
}
