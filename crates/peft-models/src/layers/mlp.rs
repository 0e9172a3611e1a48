//! The two-layer MLP of a transformer block.

use burn::module::Module;
use burn::tensor::Tensor;
use peft_core::{AdaptedLinear, Pass};

use super::activation::Activation;

/// `y = down(activation(up(x)))`.
#[derive(Module, Debug)]
pub struct Mlp {
    /// `d_model` to `d_ff`.
    pub up: AdaptedLinear,
    /// `d_ff` to `d_model`.
    pub down: AdaptedLinear,
    #[module(skip)]
    activation: Activation,
}

impl Mlp {
    /// An MLP of two layers.
    #[must_use]
    pub fn new(up: AdaptedLinear, down: AdaptedLinear, activation: Activation) -> Self {
        Self {
            up,
            down,
            activation,
        }
    }

    /// Applies it to every row of `x [rows, d_model]`.
    #[must_use]
    pub fn forward(&self, x: Tensor<2>, pass: &mut Pass<'_>) -> Tensor<2> {
        let hidden = self.activation.forward(self.up.forward(x, pass));
        self.down.forward(hidden, pass)
    }
}
