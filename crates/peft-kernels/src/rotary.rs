//! Rotary position embedding: every pair `(x_j, x_{j + d/2})` of a head turns by an angle.
//!
//! ```text
//! y_j = x_j cos_j - x_{j + d/2} sin_j,   y_{j + d/2} = x_{j + d/2} cos_j + x_j sin_j
//! ```
//! J. Su et al., "RoFormer", 2021 (arXiv 2104.09864); the pairing is that of Hugging Face's checkpoints.

use burn::tensor::Tensor;

#[cfg(feature = "cube")]
mod cube;
#[cfg(feature = "flex")]
mod flex;
#[cfg(test)]
mod tests;

/// Turns queries or keys; the backward saves the angles alone and turns the gradient back.
///
/// # Shapes
/// `x [batch, heads, seq, d]`, `cos` and `sin` `[batch or 1, 1, seq, d / 2]`; output like `x`. The angles get no gradient.
///
/// # Panics
/// When the shapes do not go together.
#[must_use]
pub fn rotary(x: Tensor<4>, cos: Tensor<4>, sin: Tensor<4>) -> Tensor<4> {
    let [batch, _, seq, d] = x.dims();
    let angles = cos.dims();
    assert!(
        angles == sin.dims()
            && (angles[0] == batch || angles[0] == 1)
            && angles[1..] == [1, seq, d / 2]
            && d % 2 == 0,
        "rotary: x {:?}, cos {angles:?}, sin {:?}; expected [batch or 1, 1, seq, d / 2]",
        x.dims(),
        sin.dims()
    );
    #[cfg(feature = "flex")]
    let (x, cos, sin) = match flex::rotary(x, cos, sin) {
        Ok(y) => return y,
        Err(inputs) => inputs,
    };
    #[cfg(feature = "cube")]
    let (x, cos, sin) = match cube::rotary(x, cos, sin) {
        Ok(y) => return y,
        Err(inputs) => inputs,
    };
    let half = d / 2;
    let (left, right) = (x.clone().narrow(3, 0, half), x.narrow(3, half, half));
    let turned_left = left.clone() * cos.clone() - right.clone() * sin.clone();
    let turned_right = right * cos + left * sin;
    Tensor::cat(vec![turned_left, turned_right], 3)
}
