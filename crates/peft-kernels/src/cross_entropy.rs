//! Cross entropy of rows of scores: `loss_i = ln(sum_j e^(x_ij)) - x_it` for the target `t` of row `i`.

use std::sync::Arc;

use burn::tensor::{Int, Tensor, TensorData, activation};

#[cfg(feature = "cube")]
pub(crate) mod cube;
#[cfg(feature = "flex")]
pub(crate) mod flex;
#[cfg(test)]
mod tests;

/// The loss of every row, shape `[rows]`.
///
/// On flex the fused path keeps the probabilities for the backward, in the place of the scores when nobody else holds them; on the devices of
/// CubeCL it keeps the scores, and writes their gradient in their place.
///
/// # Shapes
/// `scores [rows, classes]`, `targets [rows]`.
///
/// # Panics
/// When there is not one target below `classes` for every row.
#[must_use]
pub fn cross_entropy(scores: Tensor<2>, targets: &[u32]) -> Tensor<1> {
    let [rows, classes] = scores.dims();
    assert!(
        targets.len() == rows && targets.iter().all(|target| (*target as usize) < classes),
        "cross_entropy: {rows} rows of {classes} scores, {} targets; expected a target below the number of classes for every row",
        targets.len()
    );
    let targets: Arc<[u32]> = targets.into();
    #[cfg(feature = "flex")]
    let scores = match flex::cross_entropy(scores, &targets) {
        Ok(losses) => return losses,
        Err(scores) => scores,
    };
    #[cfg(feature = "cube")]
    let scores = match cube::cross_entropy(scores, &targets) {
        Ok(losses) => return losses,
        Err(scores) => scores,
    };
    let indices: Vec<i64> = targets.iter().map(|target| i64::from(*target)).collect();
    let indices = TensorData::new(indices, [rows, 1]);
    let indices = Tensor::<2, Int>::from_data(indices, &scores.device());
    let picked = activation::log_softmax(scores, 1).gather(1, indices);
    picked.neg().reshape([rows])
}
