//! Gradients of several batches added up before one optimizer step.

use burn::module::ParamId;
use burn::optim::GradientsParams;
use peft_core::Trainable;

/// Adds `grads` to `sum`, parameter by parameter.
pub(crate) fn add(
    sum: Option<GradientsParams>,
    mut grads: GradientsParams,
    trainable: &Trainable,
) -> GradientsParams {
    let Some(mut sum) = sum else {
        return grads;
    };
    for param in &trainable.params {
        match param.shape.len() {
            1 => add_rank::<1>(&mut sum, &mut grads, param.id),
            2 => add_rank::<2>(&mut sum, &mut grads, param.id),
            3 => add_rank::<3>(&mut sum, &mut grads, param.id),
            _ => add_rank::<4>(&mut sum, &mut grads, param.id),
        }
    }
    sum
}

fn add_rank<const D: usize>(sum: &mut GradientsParams, grads: &mut GradientsParams, id: ParamId) {
    if let Some(grad) = grads.remove::<D>(id) {
        let total = match sum.remove::<D>(id) {
            Some(sum) => sum + grad,
            None => grad,
        };
        sum.register(id, total);
    }
}
