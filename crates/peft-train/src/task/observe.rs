//! A model run over examples for somebody who watches.

use burn::tensor::Device;
use peft_core::{Observer, Pass, Survey};

use super::Task;
use crate::TrainError;
use crate::data::BatchPlan;
use crate::options::TrainOptions;
use crate::plans::Plans;

/// Runs the model over some of the training examples, in evaluation, for an observer.
///
/// # Errors
/// When a batch does not fit the model.
pub fn observe<T: Task>(
    task: &T,
    model: &T::Model,
    examples: &[usize],
    batch_size: usize,
    device: &Device,
    observer: &mut dyn Observer,
) -> Result<(), TrainError> {
    let lengths = task.lengths();
    let lengths: Vec<usize> = examples.iter().map(|at| lengths[*at]).collect();
    let mut pass = Pass::eval().with_observer(observer);
    for batch in BatchPlan::evaluation(&lengths, batch_size, None)?.batches() {
        let batch: Vec<usize> = batch.iter().map(|at| examples[*at]).collect();
        task.loss(model, &batch, device, &mut pass)?;
    }
    Ok(())
}

/// Runs the model over the batches of a training run, in its order but in evaluation, until a survey has seen enough.
///
/// # Errors
/// No examples, a batch that does not fit the model, or what the survey says.
pub fn survey<T: Task>(
    task: &T,
    model: &T::Model,
    options: &TrainOptions,
    device: &Device,
    survey: &mut dyn Survey,
) -> Result<(), TrainError> {
    let mut plans = Plans::new(options, task.lengths())?;
    for epoch in 0.. {
        for batch in plans.epoch(epoch)? {
            let mut pass = Pass::eval().with_observer(&mut *survey);
            task.loss(model, batch, device, &mut pass)?;
            if survey.batch_ended()? {
                return Ok(());
            }
        }
    }
    Ok(())
}
