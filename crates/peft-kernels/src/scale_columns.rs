//! A factor and an addend per column: `y = x s + b`, with gradients of `x` and `s`.

use burn::tensor::Tensor;

#[cfg(feature = "flex")]
pub(crate) mod flex;
#[cfg(test)]
mod tests;

/// What the backward keeps of a scaling: whichever is kept by another operation anyway costs no memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// The input.
    Input,
    /// The output, from which the input is recovered as `(y - b) / s`. Where a factor is below 1/16 in magnitude, and too many digits
    /// would be lost, the input is kept all the same.
    Output,
}

/// Multiplies every column of `x` by its factor and adds the column's bias, in one pass; the backward makes the gradients of `x`
/// and of `scales` in one pass too.
///
/// The fused path (f32 on flex) keeps for the backward what `keep` says.
///
/// # Shapes
/// `x [rows, d]`, `scales [d]`, `bias [d]`; output like `x`.
///
/// # Panics
/// When `scales` or `bias` are not as long as a row of `x`.
#[must_use]
pub fn scale_columns(
    x: Tensor<2>,
    scales: Tensor<1>,
    bias: Option<Tensor<1>>,
    keep: Keep,
) -> Tensor<2> {
    let [_, d] = x.dims();
    assert!(
        scales.dims() == [d] && bias.as_ref().is_none_or(|bias| bias.dims() == [d]),
        "scale_columns: x has rows of {d}, scales {:?}, bias {:?}; all must agree",
        scales.dims(),
        bias.map(|bias| bias.dims()),
    );
    // The fused path has no gradient for a bias; one that trains is added beside it.
    let (fixed, trained) = match bias {
        Some(bias) if bias.is_require_grad() => (None, Some(bias)),
        fixed => (fixed, None),
    };
    let y = with_fixed_bias(x, scales, fixed, keep);
    match trained {
        Some(bias) => y + bias.unsqueeze(),
        None => y,
    }
}

fn with_fixed_bias(
    x: Tensor<2>,
    scales: Tensor<1>,
    bias: Option<Tensor<1>>,
    keep: Keep,
) -> Tensor<2> {
    #[cfg(feature = "flex")]
    let (x, scales, bias) = match flex::scale_columns(x, scales, bias, keep) {
        Ok(y) => return y,
        Err(inputs) => inputs,
    };
    #[cfg(not(feature = "flex"))]
    let _ = keep;
    let y = x * scales.unsqueeze();
    match bias {
        Some(bias) => y + bias.unsqueeze(),
        None => y,
    }
}
