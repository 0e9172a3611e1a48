//! Gradient transforms: what happens to gradients between the backward pass and the optimizer's step.
//!
//! They see whole adapters (pairs of factors), not single tensors, and are applied in a stated order.

use std::collections::BTreeMap;
use std::fmt::Debug;

use burn::module::ParamId;
use burn::optim::GradientsParams;
use burn::tensor::Tensor;

use crate::error::PeftError;
use crate::file::HostTensor;
use crate::trainable::{Trainable, TrainableParam};

/// Changes the gradients of one step.
pub trait GradientTransform: Debug + Send {
    /// Name in logs and state files.
    fn name(&self) -> &'static str;

    /// Changes `grads` in place and returns figures worth logging.
    ///
    /// # Errors
    /// When the gradients cannot be used at all; the step is then not taken.
    fn transform(
        &mut self,
        grads: &mut GradientsParams,
        trainable: &Trainable,
    ) -> Result<Vec<(&'static str, f64)>, PeftError>;

    /// What must be saved so that a resumed run continues exactly.
    fn state(&self) -> BTreeMap<String, HostTensor> {
        BTreeMap::new()
    }

    /// Restores what [`Self::state`] returned.
    ///
    /// # Errors
    /// [`PeftError::State`] when the state is not this transform's.
    fn load_state(&mut self, state: BTreeMap<String, HostTensor>) -> Result<(), PeftError> {
        match state.keys().next() {
            None => Ok(()),
            Some(name) => Err(PeftError::State {
                name: name.clone(),
                problem: format!("the gradient transform `{}` keeps no state", self.name()),
            }),
        }
    }
}

/// Transforms applied one after the other.
#[derive(Debug, Default)]
pub struct Chain(pub Vec<Box<dyn GradientTransform>>);

impl Chain {
    /// Applies every transform in order and gathers their figures.
    ///
    /// # Errors
    /// The first transform's error.
    pub fn transform(
        &mut self,
        grads: &mut GradientsParams,
        trainable: &Trainable,
    ) -> Result<Vec<(&'static str, f64)>, PeftError> {
        let mut figures = Vec::new();
        for transform in &mut self.0 {
            figures.extend(transform.transform(grads, trainable)?);
        }
        Ok(figures)
    }

    /// The state of every transform, its names prefixed with the transform's.
    #[must_use]
    pub fn state(&self) -> BTreeMap<String, HostTensor> {
        self.0
            .iter()
            .flat_map(|transform| {
                let prefix = transform.name();
                transform
                    .state()
                    .into_iter()
                    .map(move |(name, tensor)| (format!("{prefix}/{name}"), tensor))
            })
            .collect()
    }

    /// Gives each transform its part of a saved state back.
    ///
    /// # Errors
    /// [`PeftError::State`] when a part belongs to no transform, or is refused by its own.
    pub fn load_state(&mut self, state: BTreeMap<String, HostTensor>) -> Result<(), PeftError> {
        let mut parts: BTreeMap<String, BTreeMap<String, HostTensor>> = BTreeMap::new();
        for (name, tensor) in state {
            let (owner, rest) = name.split_once('/').unwrap_or((&name, ""));
            parts
                .entry(owner.to_owned())
                .or_default()
                .insert(rest.to_owned(), tensor);
        }
        for transform in &mut self.0 {
            transform.load_state(parts.remove(transform.name()).unwrap_or_default())?;
        }
        match parts.into_keys().next() {
            None => Ok(()),
            Some(name) => Err(PeftError::State {
                name,
                problem: "no gradient transform of this run has that name".into(),
            }),
        }
    }
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

impl GradientTransform for ClipNorm {
    fn name(&self) -> &'static str {
        "clip_norm"
    }

    fn transform(
        &mut self,
        grads: &mut GradientsParams,
        trainable: &Trainable,
    ) -> Result<Vec<(&'static str, f64)>, PeftError> {
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
        Ok(vec![("grad_norm", norm)])
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
