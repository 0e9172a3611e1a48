//! A model run over examples for somebody who watches.

use burn::tensor::Device;
use peft_core::{Observer, Pass};

use super::Task;
use crate::TrainError;
use crate::data::BatchPlan;

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
