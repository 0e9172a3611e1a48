//! Products with a weight, alone or with a low-rank pair added in place:
//!
//! ```text
//! y = x W + bias + scale (z A) B
//! ```

use burn::tensor::Tensor;

use crate::packed::Factor;

#[cfg(feature = "cube")]
mod cube;
#[cfg(feature = "flex")]
mod flex;
#[cfg(test)]
mod tests;

/// A low-rank product that a layer adds to its output.
#[derive(Debug, Clone)]
pub struct LowRankPair {
    /// Down-projection, shape `[d_in, rank]`.
    pub a: Tensor<2>,
    /// Up-projection, shape `[rank, d_out]`.
    pub b: Tensor<2>,
    /// Factor of the product.
    pub scale: f64,
    /// The input of `a`, shape `[rows, d_in]`; the layer's own when absent. Dropout makes it another.
    pub input: Option<Tensor<2>>,
}

impl LowRankPair {
    /// `scale (z A) B` alone, where `z` is the pair's own input, or else `x`; shape `[rows, d_out]`.
    #[must_use]
    pub fn output(self, x: Tensor<2>) -> Tensor<2> {
        let hidden = product(self.input.unwrap_or(x), self.a);
        // The scale multiplies the narrow [rows, rank] tensor, not the wide output.
        product(hidden.mul_scalar(self.scale), self.b)
    }
}

/// The product of two matrices; keeps for the backward what a gradient needs, and no more.
///
/// # Shapes
/// `x [rows, inner]`, `y [inner, columns]`; output `[rows, columns]`.
///
/// # Panics
/// When the inner sizes disagree.
#[must_use]
pub fn product(x: Tensor<2>, y: impl Into<Factor>) -> Tensor<2> {
    linear(x, y, None)
}

/// `x W + bias`; a packed weight is a constant, and never unpacked as a whole on the fused path.
///
/// # Shapes
/// `x [rows, d_in]`, `weight [d_in, d_out]`, `bias [d_out]`; output `[rows, d_out]`.
///
/// # Panics
/// When the sizes disagree.
#[must_use]
pub fn linear(x: Tensor<2>, weight: impl Into<Factor>, bias: Option<Tensor<1>>) -> Tensor<2> {
    let weight = weight.into();
    check(&x, &weight, bias.as_ref());
    #[cfg(feature = "flex")]
    let (x, weight, bias) = match flex::linear(x, weight, bias) {
        Ok(y) => return y,
        Err(inputs) => inputs,
    };
    #[cfg(feature = "cube")]
    let (x, weight, bias) = match cube::linear(x, weight, bias) {
        Ok(y) => return y,
        Err(inputs) => inputs,
    };
    let weight = weight.dense(&x.device());
    with_bias(x.matmul(weight), bias)
}

/// `x W + bias + scale (z A) B`, where `z` is `x` or the pair's own input; the weight and the bias are constants, no gradient flows into
/// them.
///
/// The fused path adds the pair to the product while that is in the cache, and its gradient to that of `x` likewise; it keeps `z` and
/// `z A [rows, rank]` for the backward.
///
/// # Shapes
/// As [`linear`] and [`LowRankPair`].
///
/// # Panics
/// When the sizes disagree.
#[must_use]
pub fn linear_with_pair(
    x: Tensor<2>,
    weight: impl Into<Factor>,
    bias: Option<Tensor<1>>,
    pair: LowRankPair,
) -> Tensor<2> {
    let weight = weight.into();
    check(&x, &weight, bias.as_ref());
    let ([rows, d_in], [_, d_out]) = (x.dims(), weight.dims());
    let rank = pair.a.dims()[1];
    assert!(
        pair.a.dims() == [d_in, rank]
            && pair.b.dims() == [rank, d_out]
            && pair
                .input
                .as_ref()
                .is_none_or(|input| input.dims() == [rows, d_in]),
        "linear_with_pair: the weight is [{d_in}, {d_out}], a {:?}, b {:?}, the input of a {:?}; all must agree",
        pair.a.dims(),
        pair.b.dims(),
        pair.input.as_ref().map(Tensor::dims),
    );
    #[cfg(feature = "flex")]
    let (x, weight, bias, pair) = match flex::linear_with_pair(x, weight, bias, pair) {
        Ok(y) => return y,
        Err(inputs) => inputs,
    };
    linear(x.clone(), weight, bias) + pair.output(x)
}

fn with_bias(y: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<2> {
    match bias {
        Some(bias) => y + bias.unsqueeze(),
        None => y,
    }
}

fn check(x: &Tensor<2>, weight: &Factor, bias: Option<&Tensor<1>>) {
    let ([_, d_in], [inner, d_out]) = (x.dims(), weight.dims());
    assert!(
        d_in == inner && bias.is_none_or(|bias| bias.dims() == [d_out]),
        "linear: x has rows of {d_in}, the weight is [{inner}, {d_out}], the bias {:?}; all must agree",
        bias.map(Tensor::dims),
    );
}
