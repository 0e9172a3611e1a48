//! The cross entropy of a frozen output layer, without its scores: `loss_i = ln(sum_j e^s_ij) - s_it` for the target `t` of row `i`, where `s = x
//! W`, or `s = c tanh(x W / c)`.

use burn::tensor::Tensor;

use crate::cross_entropy::cross_entropy;
use crate::linear::product;
use crate::packed::Factor;
use crate::soft_cap::soft_capped;

#[cfg(feature = "cube")]
mod cube;
#[cfg(feature = "flex")]
mod flex;
#[cfg(test)]
mod tests;

/// Scores that are held at a time: 64 MiB.
const SCORES: usize = 16 << 20;
/// Rows of a block at least, and what their number is a multiple of.
const ROWS: usize = 16;

/// Rows whose scores are held at a time, where there are as many.
fn block(classes: usize) -> usize {
    (SCORES / classes.max(1) / ROWS * ROWS).max(ROWS)
}

/// Scores that the fused path of [`linear_cross_entropy`] holds at a time.
#[must_use]
pub fn held_scores(rows: usize, classes: usize) -> usize {
    rows.min(block(classes)).saturating_mul(classes)
}

/// The loss of every row, shape `[rows]`, of scores that a `cap` bounds ([`soft_capped`]); the weight is a constant where nothing in it
/// trains.
///
/// The fused path (f32 on flex) computes scores for some rows at a time and keeps for the backward what they amount to for `x`: memory grows
/// with `rows d_in`, not with the number of classes. The composition holds all scores.
///
/// # Shapes
/// `x [rows, d_in]`, `weight [d_in, classes]`, `targets [rows]`.
///
/// # Panics
/// When the widths disagree, or there is not one target below `classes` for every row.
#[must_use]
pub fn linear_cross_entropy(
    x: Tensor<2>,
    weight: impl Into<Factor>,
    targets: &[u32],
    cap: Option<f64>,
) -> Tensor<1> {
    let weight = weight.into();
    let ([rows, d_in], [inner, classes]) = (x.dims(), weight.dims());
    assert!(
        d_in == inner
            && targets.len() == rows
            && targets.iter().all(|target| (*target as usize) < classes),
        "linear_cross_entropy: x is [{rows}, {d_in}], the weight [{inner}, {classes}], {} targets; widths must agree, and every row \
         needs a target below the number of classes",
        targets.len()
    );
    #[cfg(feature = "flex")]
    let (x, weight) = match flex::linear_cross_entropy(x, weight, &targets.into(), cap) {
        Ok(losses) => return losses,
        Err(inputs) => inputs,
    };
    #[cfg(feature = "cube")]
    let (x, weight) = match cube::linear_cross_entropy(x, weight, targets, cap) {
        Ok(losses) => return losses,
        Err(inputs) => inputs,
    };
    let scores = product(x, weight);
    let scores = match cap {
        Some(cap) => soft_capped(scores, cap),
        None => scores,
    };
    cross_entropy(scores, targets)
}
