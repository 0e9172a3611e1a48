//! A step of AdamW: what of a parameter changes, in one pass over its memory.
//!
//! ```text
//! m = beta_1 m + (1 - beta_1) g,   v = beta_2 v + (1 - beta_2) g^2
//! w = (1 - lr decay) w - lr (m / (1 - beta_1^t)) / (sqrt(v / (1 - beta_2^t)) + epsilon)
//! ```
//! I. Loshchilov and F. Hutter, "Decoupled Weight Decay Regularization", ICLR 2019 (arXiv 1711.05101).

#[cfg(any(feature = "flex", feature = "cube"))]
use burn::backend::DispatchTensor;
use burn::tensor::Tensor;

#[cfg(any(feature = "flex", feature = "cube"))]
use crate::fused::{Fuse, Kernels};

#[cfg(feature = "cube")]
mod cube;
#[cfg(feature = "flex")]
mod flex;
#[cfg(test)]
mod tests;

/// The numbers of one step, alike for all values of a parameter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWStep {
    /// Learning rate.
    pub lr: f64,
    /// Decay of the weight, times the learning rate.
    pub weight_decay: f64,
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Floor of the denominator.
    pub epsilon: f32,
    /// How many steps the moments will have seen with this one, at least 1.
    pub time: usize,
}

/// The same as the loops need it.
#[cfg(any(feature = "flex", feature = "cube"))]
#[derive(Debug, Clone, Copy)]
struct Factors {
    lr: f32,
    /// What is left of a weight.
    kept: f32,
    beta1: f32,
    beta2: f32,
    epsilon: f32,
    corrections: [f32; 2],
}

impl AdamWStep {
    /// What the moments are divided by, for they began as zeros.
    fn corrections(&self) -> [f32; 2] {
        let time = i32::try_from(self.time).unwrap_or(i32::MAX);
        [self.beta1, self.beta2].map(|beta| 1.0 - beta.powi(time))
    }

    #[cfg(any(feature = "flex", feature = "cube"))]
    fn factors(&self) -> Factors {
        Factors {
            lr: self.lr as f32,
            kept: (1.0 - self.lr * self.weight_decay) as f32,
            beta1: self.beta1,
            beta2: self.beta2,
            epsilon: self.epsilon,
            corrections: self.corrections(),
        }
    }
}

/// A parameter, and the moments of its gradient.
#[derive(Debug, Clone)]
pub struct Moving<const D: usize> {
    /// The parameter.
    pub weight: Tensor<D>,
    /// Mean of the gradients.
    pub first: Tensor<D>,
    /// Mean of their squares.
    pub second: Tensor<D>,
}

#[cfg(any(feature = "flex", feature = "cube"))]
impl<const D: usize> Fuse for Moving<D> {
    type Dispatch = [DispatchTensor; 3];

    fn try_fuse(self, kernels: Kernels) -> Result<[DispatchTensor; 3], Self> {
        match (self.weight, self.first, self.second).try_fuse(kernels) {
            Ok((weight, first, second)) => Ok([weight, first, second]),
            Err((weight, first, second)) => Err(Self {
                weight,
                first,
                second,
            }),
        }
    }

    fn unfuse(dispatch: [DispatchTensor; 3]) -> Self {
        let [weight, first, second] = dispatch.map(Tensor::from_dispatch);
        Self {
            weight,
            first,
            second,
        }
    }
}

/// Makes a step by a gradient: f32 on flex and on the devices of CubeCL in one pass, in place where nobody else holds a tensor; else by
/// Burn's operations.
///
/// # Panics
/// When shapes differ.
#[must_use]
pub fn adamw<const D: usize>(at: Moving<D>, grad: Tensor<D>, how: AdamWStep) -> Moving<D> {
    let shape = at.weight.dims();
    let dims = [at.first.dims(), at.second.dims(), grad.dims()];
    assert!(
        dims.iter().all(|dims| *dims == shape),
        "adamw: a weight {shape:?} with moments and a gradient {dims:?}"
    );
    #[cfg(feature = "flex")]
    let (at, grad) = match flex::adamw(at, grad, how) {
        Ok(stepped) => return stepped,
        Err(inputs) => inputs,
    };
    #[cfg(feature = "cube")]
    let (at, grad) = match cube::adamw(at, grad, how) {
        Ok(stepped) => return stepped,
        Err(inputs) => inputs,
    };
    composed(at, grad, how)
}

/// The same from Burn's operations.
fn composed<const D: usize>(at: Moving<D>, grad: Tensor<D>, how: AdamWStep) -> Moving<D> {
    let [first_correction, second_correction] = how.corrections();
    let moved = |moment: Tensor<D>, beta: f32, grad: Tensor<D>| {
        moment.mul_scalar(beta) + grad.mul_scalar(1.0 - beta)
    };
    let first = moved(at.first, how.beta1, grad.clone());
    let second = moved(at.second, how.beta2, grad.square());
    let root = second.clone().div_scalar(second_correction).sqrt();
    let mean = first.clone().div_scalar(first_correction);
    let direction = mean / root.add_scalar(how.epsilon);
    let weight = match how.lr * how.weight_decay {
        0.0 => at.weight,
        decay => at.weight.mul_scalar(1.0 - decay),
    };
    Moving {
        weight: weight - direction.mul_scalar(how.lr),
        first,
        second,
    }
}
