//! A smooth bound: `y = c tanh(x / c)`, which leaves small values as they are and keeps all between `-c` and `c` (Gemma 2, arXiv 2408.00118).

use burn::tensor::Tensor;

#[cfg(feature = "flex")]
pub(crate) mod flex;

/// Every value bounded by `cap`, which is above 0.
#[must_use]
pub fn soft_capped<const D: usize>(x: Tensor<D>, cap: f64) -> Tensor<D> {
    x.div_scalar(cap).tanh().mul_scalar(cap)
}
