//! How many steps a run takes, and the batches of each pass over its data.

use crate::TrainError;
use crate::data::{BatchOptions, BatchPlan};
use crate::options::TrainOptions;

/// The batches of a run. Only those of one pass are held: a run of many steps over few examples has many passes.
#[derive(Debug)]
pub(crate) struct Plans<'a> {
    options: &'a TrainOptions,
    lengths: Vec<usize>,
    epoch: usize,
    plan: BatchPlan,
    total: usize,
}

impl<'a> Plans<'a> {
    /// The batches of a run over examples of these lengths.
    ///
    /// # Errors
    /// [`TrainError::NothingToTrain`] without examples, [`TrainError::Option`].
    pub(crate) fn new(options: &'a TrainOptions, lengths: Vec<usize>) -> Result<Self, TrainError> {
        if lengths.is_empty() {
            return Err(TrainError::NothingToTrain);
        }
        let plan = plan(options, &lengths, 0)?;
        let total = match options.max_steps {
            Some(steps) => steps,
            None => {
                let mut steps = plan.len().div_ceil(options.accumulation);
                for epoch in 1..options.epochs {
                    let plan = self::plan(options, &lengths, epoch)?;
                    steps += plan.len().div_ceil(options.accumulation);
                }
                steps
            }
        };
        Ok(Self {
            options,
            lengths,
            epoch: 0,
            plan,
            total,
        })
    }

    /// Optimizer steps of the whole run.
    pub(crate) fn total(&self) -> usize {
        self.total
    }

    /// Lengths in tokens of the examples.
    pub(crate) fn lengths(&self) -> &[usize] {
        &self.lengths
    }

    /// The batches of one pass.
    pub(crate) fn epoch(&mut self, epoch: usize) -> Result<&[Vec<usize>], TrainError> {
        if epoch != self.epoch {
            self.plan = plan(self.options, &self.lengths, epoch)?;
            self.epoch = epoch;
        }
        Ok(self.plan.batches())
    }
}

fn plan(options: &TrainOptions, lengths: &[usize], epoch: usize) -> Result<BatchPlan, TrainError> {
    let options = BatchOptions {
        batch_size: options.batch_size,
        max_tokens: options.max_tokens,
        group_by_length: options.group_by_length,
        seed: options.seed,
        epoch: epoch as u64,
    };
    BatchPlan::new(lengths, &options)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn total(options: &TrainOptions, examples: usize) -> usize {
        Plans::new(options, vec![4; examples]).unwrap().total()
    }

    #[test]
    fn max_steps_decides_alone_and_epochs_count_otherwise() {
        let options = TrainOptions {
            epochs: 3,
            batch_size: 4,
            accumulation: 2,
            ..TrainOptions::default()
        };
        assert_eq!(total(&options, 20), 9, "5 batches are 3 steps");
        for steps in [1, 9, 100, usize::MAX] {
            let options = TrainOptions {
                max_steps: Some(steps),
                ..options.clone()
            };
            assert_eq!(total(&options, 20), steps);
        }
        assert!(matches!(
            Plans::new(&options, vec![]),
            Err(TrainError::NothingToTrain)
        ));
    }

    #[test]
    fn each_pass_has_an_order_of_its_own_whichever_was_asked_for_before() {
        let options = TrainOptions {
            batch_size: 2,
            ..TrainOptions::default()
        };
        let mut plans = Plans::new(&options, (1..20).collect()).unwrap();
        let first = plans.epoch(0).unwrap().to_vec();
        let fourth = plans.epoch(3).unwrap().to_vec();
        assert_ne!(first, fourth);
        assert_eq!(plans.epoch(0).unwrap(), first);
        assert_eq!(plans.epoch(3).unwrap(), fourth);
    }
}
