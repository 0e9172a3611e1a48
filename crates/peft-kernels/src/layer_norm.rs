//! Layer normalisation over the last axis: `y = (x - mean) / sqrt(var + eps) gamma + beta`, `var` biased.

use burn::tensor::{Tensor, module};

#[cfg(feature = "flex")]
mod flex;
#[cfg(test)]
mod tests;

/// Layer normalisation of the rows of `x`; the backward saves `x` alone and makes the gradients of `gamma` and
/// `beta` only where these require them.
///
/// # Shapes
/// `x [.., d]`, `gamma [d]`, `beta [d]`; output like `x`.
///
/// # Panics
/// When `gamma` or `beta` are not as long as the last axis of `x`.
#[must_use]
pub fn layer_norm<const D: usize>(
    x: Tensor<D>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    eps: f64,
) -> Tensor<D> {
    let d = x.dims()[D - 1];
    assert!(
        gamma.dims() == [d] && beta.dims() == [d],
        "layer_norm: x has rows of {d}, gamma {:?}, beta {:?}; all three must agree",
        gamma.dims(),
        beta.dims()
    );
    #[cfg(feature = "flex")]
    let (x, gamma, beta) = match flex::layer_norm(x, gamma, beta, eps) {
        Ok(y) => return y,
        Err(inputs) => inputs,
    };
    module::layer_norm(x, gamma, Some(beta), eps)
}
