//! Gradients by parameter: found, taken out, measured, clipped.

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Gradients, Tensor};
use peft_kernels::SquaredNorm;

use crate::adapter::cast;
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
/// The same rule as PyTorch's `clip_grad_norm_`; the norm before clipping is logged as `grad_norm`. Everything happens on the device: nobody
/// waits for the norm.
#[derive(Debug, Clone)]
pub struct ClipNorm {
    /// The largest norm allowed; infinity only measures.
    pub max_norm: f64,
}

impl ClipNorm {
    /// Clips the gradients in place and returns their norm before, shape `[1]`, in f32; `None` where there are none.
    pub fn clip(&self, grads: &mut GradientsParams, trainable: &Trainable) -> Option<Tensor<1>> {
        let device = trainable
            .params
            .iter()
            .find_map(|param| device_of(grads, param))?;
        let sums = SquaredNorm::of(trainable.params.len(), &device);
        let sums = trainable
            .params
            .iter()
            .fold(sums, |sums, param| squares(sums, grads, param));
        let norm = sums.norm()?;
        if self.max_norm.is_finite() {
            let factor = norm.clone().add_scalar(1e-6).recip();
            // A norm that is no number clips nothing: the loss or the weights will tell.
            let factor = factor.mul_scalar(self.max_norm);
            let none = factor.clone().lower_elem(1.0).bool_not();
            let factor = factor.mask_fill(none, 1.0);
            for param in &trainable.params {
                scale(grads, param, &factor);
            }
        }
        Some(norm)
    }
}

/// Where one parameter's gradient is, if it has one.
fn device_of(grads: &GradientsParams, param: &TrainableParam) -> Option<Device> {
    fn of<const D: usize>(grads: &GradientsParams, id: ParamId) -> Option<Device> {
        grads.get::<D>(id).map(|grad| grad.device())
    }
    match param.shape.len() {
        1 => of::<1>(grads, param.id),
        2 => of::<2>(grads, param.id),
        3 => of::<3>(grads, param.id),
        _ => of::<4>(grads, param.id),
    }
}

/// The sums with the squares of one parameter's gradient, if it has one.
fn squares(sums: SquaredNorm, grads: &GradientsParams, param: &TrainableParam) -> SquaredNorm {
    fn of<const D: usize>(sums: SquaredNorm, grads: &GradientsParams, id: ParamId) -> SquaredNorm {
        match grads.get::<D>(id) {
            Some(grad) => sums.with(grad),
            None => sums,
        }
    }
    match param.shape.len() {
        1 => of::<1>(sums, grads, param.id),
        2 => of::<2>(sums, grads, param.id),
        3 => of::<3>(sums, grads, param.id),
        _ => of::<4>(sums, grads, param.id),
    }
}

fn scale(grads: &mut GradientsParams, param: &TrainableParam, factor: &Tensor<1>) {
    fn by<const D: usize>(grads: &mut GradientsParams, id: ParamId, factor: &Tensor<1>) {
        if let Some(grad) = grads.remove::<D>(id) {
            let factor = cast(factor.clone(), grad.dtype());
            grads.register(id, grad * factor.reshape([1; D]));
        }
    }
    match param.shape.len() {
        1 => by::<1>(grads, param.id, factor),
        2 => by::<2>(grads, param.id, factor),
        3 => by::<3>(grads, param.id, factor),
        _ => by::<4>(grads, param.id, factor),
    }
}
