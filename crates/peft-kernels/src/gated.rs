//! The product of a gated MLP: `y = a(gate) up`, `a(x) = x Phi(x)`.
//!
//! ```text
//! SiLU        Phi(x) = sigmoid(x)                                              SwiGLU
//! GELU, tanh  Phi(x) = sigmoid(2 u),  u = sqrt(2 / pi) (x + 0.044715 x^3)      GEGLU
//! ```
//! N. Shazeer, "GLU Variants Improve Transformer", 2020 (arXiv 2002.05202).

use burn::tensor::{Tensor, activation};

#[cfg(feature = "cube")]
mod cube;
#[cfg(feature = "flex")]
mod flex;
#[cfg(test)]
mod tests;

/// The nonlinearity of a gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// `x sigmoid(x)`.
    Silu,
    /// The tanh approximation of GELU.
    GeluTanh,
}

/// `a(gate) up`, element by element; the backward saves both inputs and makes both gradients in one pass.
///
/// NaN stays NaN; a gate of minus infinity gives NaN, as the formula does.
///
/// # Panics
/// When the shapes differ.
#[must_use]
pub fn gated<const D: usize>(gate: Tensor<D>, up: Tensor<D>, by: Gate) -> Tensor<D> {
    assert_eq!(
        gate.dims(),
        up.dims(),
        "gated: gate and up must have one shape"
    );
    #[cfg(feature = "flex")]
    let (gate, up) = match flex::gated(gate, up, by) {
        Ok(y) => return y,
        Err(inputs) => inputs,
    };
    match by {
        Gate::Silu => {
            #[cfg(feature = "cube")]
            let (gate, up) = match cube::silu_mul(gate, up) {
                Ok(y) => return y,
                Err(inputs) => inputs,
            };
            activation::silu(gate) * up
        }
        Gate::GeluTanh => crate::gelu_tanh(gate) * up,
    }
}
