//! The gated MLP of Llama's family.

use burn::module::Module;
use burn::tensor::Tensor;
use peft_core::{AdaptedLinear, Pass};
use peft_kernels::silu_mul;

use super::activation::Activation;

/// `y = down(activation(gate(x)) * up(x))` (Shazeer 2020, arXiv 2002.05202).
#[derive(Module, Debug)]
pub struct GatedMlp {
    /// `d_model` to `d_ff`.
    pub gate: AdaptedLinear,
    /// `d_model` to `d_ff`.
    pub up: AdaptedLinear,
    /// `d_ff` to `d_model`.
    pub down: AdaptedLinear,
    #[module(skip)]
    activation: Activation,
}

impl GatedMlp {
    /// A gated MLP: gate, up, down.
    #[must_use]
    pub fn new([gate, up, down]: [AdaptedLinear; 3], activation: Activation) -> Self {
        Self {
            gate,
            up,
            down,
            activation,
        }
    }

    /// Applies it to every row of `x [rows, d_model]`.
    #[must_use]
    pub fn forward(&self, x: Tensor<2>, pass: &mut Pass<'_>) -> Tensor<2> {
        let gate = self.gate.forward(x.clone(), pass);
        let up = self.up.forward(x, pass);
        let hidden = match self.activation {
            Activation::Silu => silu_mul(gate, up),
            other => other.forward(gate) * up,
        };
        self.down.forward(hidden, pass)
    }
}
