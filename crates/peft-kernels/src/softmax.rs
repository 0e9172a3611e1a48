//! Softmax over the last axis: `y_i = e^(z_i - max z) / sum_j e^(z_j - max z)`, `z = scale x + bias`.
//!
//! A row whose `z` are all minus infinity, and a row with a NaN, give NaN throughout.

use burn::tensor::{Tensor, activation};

#[cfg(feature = "flex")]
pub(crate) mod flex;
#[cfg(test)]
mod tests;

/// Softmax over the last axis; the backward saves the output alone.
#[must_use]
pub fn softmax_last<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    #[cfg(feature = "flex")]
    let x = match flex::softmax(x, 1.0) {
        Ok(y) => return y,
        Err(x) => x,
    };
    activation::softmax(x, D - 1)
}

/// Attention weights `softmax(scale scores + bias)` over the keys; the backward saves the output alone.
///
/// `bias` is a mask, a constant: no gradient flows into it.
///
/// # Shapes
/// `scores [batch, heads, queries, keys]`; `bias` the same, any of its first three axes may be 1 (padding
/// `[batch, 1, 1, keys]`, causal `[1, 1, queries, keys]`); output like `scores`.
///
/// # Panics
/// When the shape of `bias` does not broadcast to that of `scores`.
#[must_use]
pub fn attention_softmax(scores: Tensor<4>, scale: f64, bias: Option<Tensor<4>>) -> Tensor<4> {
    let Some(bias) = bias else {
        #[cfg(feature = "flex")]
        let scores = match flex::softmax(scores, scale) {
            Ok(y) => return y,
            Err(scores) => scores,
        };
        return activation::softmax(scores.mul_scalar(scale), 3);
    };
    #[cfg(feature = "flex")]
    let (scores, bias) = match flex::biased_softmax(scores, bias, scale) {
        Ok(y) => return y,
        Err(inputs) => inputs,
    };
    activation::softmax(scores.mul_scalar(scale) + bias.detach(), 3)
}
