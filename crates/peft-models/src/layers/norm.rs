//! Layer normalisation.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use peft_kernels::layer_norm;

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
        layer_norm(x, self.weight.val(), self.bias.val(), self.eps)
    }
}
