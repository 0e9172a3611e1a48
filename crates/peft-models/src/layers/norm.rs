//! Layer normalisation and its variant without mean and shift: computed in f32 whatever the type of the model, whose squares f16 cannot hold.

use burn::module::{Module, Param};
use burn::tensor::{DType, Tensor};
use peft_core::cast;
use peft_kernels::{layer_norm, rms_norm};

/// `y = (x - mean) / sqrt(var + eps) * weight + bias` over the last axis.
#[derive(Module, Debug)]
pub struct LayerNorm {
    /// Scale, shape `[d]`.
    pub weight: Param<Tensor<1>>,
    /// Shift, shape `[d]`.
    pub bias: Param<Tensor<1>>,
    eps: f64,
}

impl LayerNorm {
    /// A layer norm of the width of its parameters.
    #[must_use]
    pub fn new(weight: Param<Tensor<1>>, bias: Param<Tensor<1>>, eps: f64) -> Self {
        Self { weight, bias, eps }
    }

    /// Normalises the last axis of `x [.., d]`.
    #[must_use]
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let stored = x.dtype();
        let [weight, bias] = [&self.weight, &self.bias].map(|param| cast(param.val(), DType::F32));
        cast(
            layer_norm(cast(x, DType::F32), weight, bias, self.eps),
            stored,
        )
    }
}

/// `y = x / sqrt(mean(x^2) + eps) * (offset + weight)` over the last axis (Zhang and Sennrich 2019, arXiv 1910.07467); the offset is 0,
/// or 1 in families whose files hold the scale less 1.
#[derive(Module, Debug)]
pub struct RmsNorm {
    /// Scale, shape `[d]`.
    pub weight: Param<Tensor<1>>,
    offset: f64,
    eps: f64,
}

impl RmsNorm {
    /// A norm of the width of its parameter.
    #[must_use]
    pub fn new(weight: Param<Tensor<1>>, offset: f64, eps: f64) -> Self {
        Self {
            weight,
            offset,
            eps,
        }
    }

    /// How many values are normalised together.
    #[must_use]
    pub fn width(&self) -> usize {
        self.weight.lazy_shape().num_elements()
    }

    /// Normalises the last axis of `x [.., d]`.
    #[must_use]
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let stored = x.dtype();
        let weight = cast(self.weight.val(), DType::F32);
        let weight = match self.offset {
            0.0 => weight,
            offset => weight.add_scalar(offset),
        };
        cast(rms_norm(cast(x, DType::F32), weight, self.eps), stored)
    }
}

/// The norm of a decoder family.
#[derive(Module, Debug)]
pub enum Norm {
    /// With mean and shift.
    Layer(LayerNorm),
    /// Without.
    Rms(RmsNorm),
}

impl Norm {
    /// Normalises the last axis of `x [.., d]`.
    #[must_use]
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        match self {
            Self::Layer(norm) => norm.forward(x),
            Self::Rms(norm) => norm.forward(x),
        }
    }
}
