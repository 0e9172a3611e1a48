//! The product of scaled inputs with a frozen weight: `y = (x c) W`, with gradients of `x` and `c`.

use burn::tensor::Tensor;

#[cfg(feature = "flex")]
mod flex;
#[cfg(test)]
mod tests;

/// `(x c) W`, where `c` scales the columns of `x`.
///
/// The fused path (f32 on flex, a weight that does not train) scales whichever of `x` and `W` is smaller for the product, and keeps
/// nothing for the backward but its inputs.
///
/// # Shapes
/// `x [rows, d_in]`, `scales [d_in]`, `weight [d_in, d_out]`; output `[rows, d_out]`.
///
/// # Panics
/// When the widths disagree.
#[must_use]
pub fn scaled_product(x: Tensor<2>, scales: Tensor<1>, weight: Tensor<2>) -> Tensor<2> {
    let [_, d_in] = x.dims();
    assert!(
        scales.dims() == [d_in] && weight.dims()[0] == d_in,
        "scaled_product: x has rows of {d_in}, scales {:?}, weight {:?}; all must agree",
        scales.dims(),
        weight.dims(),
    );
    #[cfg(feature = "flex")]
    let (x, scales, weight) = match flex::scaled_product(x, scales, weight) {
        Ok(y) => return y,
        Err(inputs) => inputs,
    };
    (x * scales.unsqueeze()).matmul(weight)
}
