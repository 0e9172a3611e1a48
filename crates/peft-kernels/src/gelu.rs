//! GELU: `gelu(x) = x Phi(x)`, `Phi` the standard normal distribution function.
//!
//! ```text
//! exact   Phi(x) = (1 + erf(x / sqrt 2)) / 2
//! tanh    Phi(x) ~ (1 + tanh(u)) / 2 = sigmoid(2 u),   u = sqrt(2 / pi) (x + 0.044715 x^3)
//! ```
//! D. Hendrycks and K. Gimpel, "Gaussian Error Linear Units", 2016.

use std::f64::consts::FRAC_1_SQRT_2;

use burn::tensor::{Tensor, activation};

#[cfg(feature = "flex")]
pub(crate) mod flex;
#[cfg(test)]
mod tests;

/// The exact GELU, `x (1 + erf(x / sqrt 2)) / 2`, element by element; the backward saves `x` alone.
///
/// The fused path is within 5e-7 of the exact value (or one unit in the last place, where that is more).
/// NaN stays NaN; minus infinity gives NaN, as the formula does.
#[must_use]
pub fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    #[cfg(feature = "flex")]
    let x = match flex::gelu(x, flex::Form::Erf) {
        Ok(y) => return y,
        Err(x) => x,
    };
    // Not `activation::gelu`: outside flex, Burn 0.22 differentiates it by the tanh approximation (error 6e-4).
    let phi = (x.clone().mul_scalar(FRAC_1_SQRT_2).erf() + 1.0).mul_scalar(0.5);
    x * phi
}

/// The tanh approximation of GELU (`gelu_new`, `gelu_pytorch_tanh`); the backward saves `x` alone.
///
/// NaN stays NaN; minus infinity gives NaN, as the formula does.
#[must_use]
pub fn gelu_tanh<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    #[cfg(feature = "flex")]
    let x = match flex::gelu(x, flex::Form::Tanh) {
        Ok(y) => return y,
        Err(x) => x,
    };
    activation::gelu_approximate(x)
}
