//! A factor and an addend per column: `y = x s + b`, with gradients of `x` and `s`.

use burn::tensor::Tensor;

#[cfg(feature = "flex")]
mod flex;
#[cfg(test)]
mod tests;

/// Multiplies every column of `x` by its factor and adds the column's bias, in one pass; the backward makes the gradients of `x`
/// and of `scales` in one pass too.
///
/// Fused (f32 on flex): where every factor is at least 1/16 in magnitude the backward keeps the output, which its successors mostly keep
/// as well, and recovers `x = (y - b) / s` from it; otherwise it keeps `x`.
///
/// # Shapes
/// `x [rows, d]`, `scales [d]`, `bias [d]`; output like `x`.
///
/// # Panics
/// When `scales` or `bias` are not as long as a row of `x`.
#[must_use]
pub fn scale_columns(x: Tensor<2>, scales: Tensor<1>, bias: Option<Tensor<1>>) -> Tensor<2> {
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
    let y = with_fixed_bias(x, scales, fixed);
    match trained {
        Some(bias) => y + bias.unsqueeze(),
        None => y,
    }
}

fn with_fixed_bias(x: Tensor<2>, scales: Tensor<1>, bias: Option<Tensor<1>>) -> Tensor<2> {
    #[cfg(feature = "flex")]
    let (x, scales, bias) = match flex::scale_columns(x, scales, bias) {
        Ok(y) => return y,
        Err(inputs) => inputs,
    };
    let y = x * scales.unsqueeze();
    match bias {
        Some(bias) => y + bias.unsqueeze(),
        None => y,
    }
}
