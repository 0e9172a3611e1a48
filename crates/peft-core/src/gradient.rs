//! Gradients by parameter: found, taken out, measured, clipped.

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::{Gradients, Tensor};

use crate::trainable::{Trainable, TrainableParam, trains};

/// The gradients of everything that trains in `model`.
///
/// What Burn's `GradientsParams::from_grads` finds, which asks each parameter for its value first and so unpacks every packed weight.
#[must_use]
pub fn of<M: Module>(grads: Gradients, model: &M) -> GradientsParams {
    struct Found {
        grads: Gradients,
        found: GradientsParams,
    }
    impl ModuleVisitor for Found {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if trains(param)
                && let Some(grad) = param.val().grad_remove(&mut self.grads)
            {
                self.found.register(param.id, grad);
            }
        }
    }
    let mut found = Found {
        grads,
        found: GradientsParams::new(),
    };
    model.visit(&mut found);
    found.found
}

/// Moves the gradients of `params` out of `grads`.
pub fn take<'a>(
    grads: &mut GradientsParams,
    params: impl IntoIterator<Item = &'a TrainableParam>,
) -> GradientsParams {
    fn of<const D: usize>(from: &mut GradientsParams, to: &mut GradientsParams, id: ParamId) {
        if let Some(grad) = from.remove::<D>(id) {
            to.register(id, grad);
        }
    }
    let mut taken = GradientsParams::new();
    for param in params {
        match param.shape.len() {
            1 => of::<1>(grads, &mut taken, param.id),
            2 => of::<2>(grads, &mut taken, param.id),
            3 => of::<3>(grads, &mut taken, param.id),
            _ => of::<4>(grads, &mut taken, param.id),
        }
    }
    taken
}

/// Scales all gradients so that their global norm is at most `max_norm`: `g * min(1, max_norm / (norm + 1e-6))`.
///
/// The same rule as PyTorch's `clip_grad_norm_`; the norm before clipping is logged as `grad_norm`.
#[derive(Debug, Clone)]
pub struct ClipNorm {
    /// The largest norm allowed; infinity only measures.
    pub max_norm: f64,
}

impl ClipNorm {
    /// Clips the gradients in place and returns their norm before.
    pub fn clip(&self, grads: &mut GradientsParams, trainable: &Trainable) -> f64 {
        let squares: f64 = trainable
            .params
            .iter()
            .map(|param| squared_norm(grads, param))
            .sum();
        let norm = squares.sqrt();
        let factor = self.max_norm / (norm + 1e-6);
        if factor < 1.0 {
            for param in &trainable.params {
                scale(grads, param, factor);
            }
        }
        norm
    }
}

/// Sum of squares of one parameter's gradient, 0 where it has none.
fn squared_norm(grads: &GradientsParams, param: &TrainableParam) -> f64 {
    fn of<const D: usize>(grads: &GradientsParams, id: ParamId) -> f64 {
        grads.get::<D>(id).map_or(0.0, |grad: Tensor<D>| {
            f64::from(grad.powi_scalar(2).sum().into_scalar::<f32>())
        })
    }
    match param.shape.len() {
        1 => of::<1>(grads, param.id),
        2 => of::<2>(grads, param.id),
        3 => of::<3>(grads, param.id),
        _ => of::<4>(grads, param.id),
    }
}

fn scale(grads: &mut GradientsParams, param: &TrainableParam, factor: f64) {
    fn by<const D: usize>(grads: &mut GradientsParams, id: ParamId, factor: f64) {
        if let Some(grad) = grads.remove::<D>(id) {
            grads.register(id, grad.mul_scalar(factor));
        }
    }
    match param.shape.len() {
        1 => by::<1>(grads, param.id, factor),
        2 => by::<2>(grads, param.id, factor),
        3 => by::<3>(grads, param.id, factor),
        _ => by::<4>(grads, param.id, factor),
    }
}
