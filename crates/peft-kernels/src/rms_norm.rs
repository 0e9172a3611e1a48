//! Root mean square normalisation over the last axis: `y = x / sqrt(mean(x^2) + eps) gamma`.
//!
//! B. Zhang and R. Sennrich, "Root Mean Square Layer Normalization", 2019 (arXiv 1910.07467).

use burn::tensor::Tensor;

#[cfg(feature = "cube")]
mod cube;
#[cfg(feature = "flex")]
mod flex;
#[cfg(test)]
mod tests;

/// Root mean square normalisation of the rows of `x`; the backward saves `x` alone and makes the gradient of `gamma` only where it
/// requires one.
///
/// # Shapes
/// `x [.., d]`, `gamma [d]`; output like `x`.
///
/// # Panics
/// When `gamma` is not as long as the last axis of `x`.
#[must_use]
pub fn rms_norm<const D: usize>(x: Tensor<D>, gamma: Tensor<1>, eps: f64) -> Tensor<D> {
    let d = x.dims()[D - 1];
    assert!(
        gamma.dims() == [d],
        "rms_norm: x has rows of {d}, gamma {:?}; both must agree",
        gamma.dims()
    );
    #[cfg(feature = "flex")]
    let (x, gamma) = match flex::rms_norm(x, gamma, eps) {
        Ok(y) => return y,
        Err(inputs) => inputs,
    };
    #[cfg(feature = "cube")]
    let (x, gamma) = match cube::rms_norm(x, gamma, eps) {
        Ok(y) => return y,
        Err(inputs) => inputs,
    };
    let mean = (x.clone() * x.clone()).mean_dim(D - 1);
    let inverse = mean.add_scalar(eps).sqrt().recip();
    x * inverse * gamma.unsqueeze()
}
