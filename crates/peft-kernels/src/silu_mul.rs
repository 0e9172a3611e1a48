//! SwiGLU's gate: `y = silu(gate) up`, `silu(x) = x / (1 + e^-x)`.
//!
//! N. Shazeer, "GLU Variants Improve Transformer", 2020 (arXiv 2002.05202).

use burn::tensor::{Tensor, activation};

#[cfg(feature = "cube")]
mod cube;
#[cfg(feature = "flex")]
mod flex;
#[cfg(test)]
mod tests;

/// `silu(gate) up`, element by element; the backward saves both inputs and makes both gradients in one pass.
///
/// NaN stays NaN; a gate of minus infinity gives NaN, as the formula does.
///
/// # Panics
/// When the shapes differ.
#[must_use]
pub fn silu_mul<const D: usize>(gate: Tensor<D>, up: Tensor<D>) -> Tensor<D> {
    assert_eq!(
        gate.dims(),
        up.dims(),
        "silu_mul: gate and up must have one shape"
    );
    #[cfg(feature = "flex")]
    let (gate, up) = match flex::silu_mul(gate, up) {
        Ok(y) => return y,
        Err(inputs) => inputs,
    };
    #[cfg(feature = "cube")]
    let (gate, up) = match cube::silu_mul(gate, up) {
        Ok(y) => return y,
        Err(inputs) => inputs,
    };
    activation::silu(gate) * up
}
