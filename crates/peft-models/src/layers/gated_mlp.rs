//! The gated MLP of Llama's family.

use burn::module::Module;
use burn::tensor::Tensor;
use peft_core::{AdaptedLinear, Pass};
use peft_kernels::{Gate, gated};

use super::activation::Activation;

/// `y = down(activation(gate(x)) * up(x))` (Shazeer 2020, arXiv 2002.05202).
#[derive(Module, Debug)]
pub struct GatedMlp {
    /// `d_model` to `d_ff` twice: gate and up, or one layer for both, side by side in this order.
    pub projections: Vec<AdaptedLinear>,
    /// `d_ff` to `d_model`.
    pub down: AdaptedLinear,
    #[module(skip)]
    activation: Activation,
}

impl GatedMlp {
    /// A gated MLP.
    #[must_use]
    pub fn new(
        projections: Vec<AdaptedLinear>,
        down: AdaptedLinear,
        activation: Activation,
    ) -> Self {
        Self {
            projections,
            down,
            activation,
        }
    }

    /// Applies it to every row of `x [rows, d_model]`.
    #[must_use]
    pub fn forward(&self, x: Tensor<2>, pass: &mut Pass<'_>) -> Tensor<2> {
        let (gate, up) = match self.projections.as_slice() {
            [gate, up] => (gate.forward(x.clone(), pass), up.forward(x, pass)),
            both => {
                let both = both[0].forward(x, pass);
                let width = both.dims()[1] / 2;
                (
                    both.clone().narrow(1, 0, width),
                    both.narrow(1, width, width),
                )
            }
        };
        let hidden = match self.activation {
            Activation::Silu => gated(gate, up, Gate::Silu),
            Activation::GeluTanh => gated(gate, up, Gate::GeluTanh),
            other => other.forward(gate) * up,
        };
        self.down.forward(hidden, pass)
    }

    /// The layers in the order of the model: projections, down.
    pub fn linears(&self) -> impl Iterator<Item = &AdaptedLinear> {
        self.projections.iter().chain([&self.down])
    }

    /// The layers, to be changed.
    pub fn linears_mut(&mut self) -> impl Iterator<Item = &mut AdaptedLinear> {
        self.projections.iter_mut().chain([&mut self.down])
    }
}
