//! Rotations that act on runs of inputs: `x diag(R_1, .., R_n)` and `diag(R_1, .., R_n) W`, and rotations of skew-symmetric matrices.

use burn::tensor::Tensor;

use crate::inverse::{identity, inverse};

/// Newton steps of a rotation: enough for the last digit where the entries of `Q` are below 5 at blocks of 32, far beyond what is ever learnt;
/// beyond that the matrix falls short of a rotation.
const STEPS: usize = 16;

/// `x diag(R_1, .., R_n)` for `x [rows, n b]` and `blocks [n, b, b]`; a single block is that of every run.
pub(crate) fn turned(x: Tensor<2>, blocks: Tensor<3>) -> Tensor<2> {
    let [rows, d_in] = x.dims();
    let [count, size, _] = blocks.dims();
    if count == 1 {
        let runs = x.reshape([rows * d_in / size, size]);
        return runs.matmul(blocks.squeeze_dim(0)).reshape([rows, d_in]);
    }
    let runs = x.reshape([rows, count, size]).swap_dims(0, 1);
    let turned = runs.matmul(blocks).swap_dims(0, 1);
    turned.reshape([rows, d_in])
}

/// `diag(R_1, .., R_n) W` for `weight [n b, d_out]`.
pub(crate) fn turned_weight(weight: Tensor<2>, blocks: Tensor<3>) -> Tensor<2> {
    turned(weight.transpose(), blocks.swap_dims(1, 2)).transpose()
}

/// Cayley's rotation `(I - Q) (I + Q)^-1 = 2 (I + Q)^-1 - I` for each skew-symmetric matrix of `q [n, b, b]`.
///
/// The squared singular values of `I + Q` lie between 1 and `1 + |Q|_F^2 / 2`, since those of `Q` come in pairs; the start of the iteration
/// is the multiple of `I - Q`, the transpose, that suits both ends best.
pub(crate) fn cayley(q: Tensor<3>) -> Tensor<3> {
    let fixed = q.clone().detach();
    let size = fixed.clone().powi_scalar(2).sum_dim(2).sum_dim(1);
    let start = (identity(&q) - fixed) / (size * 0.25 + 1.0);
    inverse(identity(&q) + q.clone(), start, STEPS) * 2.0 - identity(&q)
}

/// The series of the same rotation, `I + 2 Q + 2 Q^2 + .. + Q^k`, cut as PEFT cuts it: `k` is `terms - 1`, and 3 for `terms` of 3.
pub(crate) fn cayley_series(q: Tensor<3>, terms: usize) -> Tensor<3> {
    let mut sum = identity(&q) + q.clone() * 2.0;
    if terms < 3 {
        return sum;
    }
    let last = (terms - 1).max(3);
    let mut power = q.clone();
    for exponent in 2..=last {
        power = power.matmul(q.clone());
        let factor = if exponent == last { 1.0 } else { 2.0 };
        sum = sum + power.clone() * factor;
    }
    sum
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;

    /// Two skew-symmetric matrices of 3 by 3 with entries up to `size`.
    fn skew(size: f32) -> Tensor<3> {
        let [a, b, c] = [0.3, -0.9, 0.6].map(|entry| entry * size);
        let first = [0.0, a, b, -a, 0.0, c, -b, -c, 0.0];
        let both = [first, first.map(|entry| entry * 0.1)].concat();
        Tensor::from_data(TensorData::new(both, [2, 3, 3]), &Device::default())
    }

    fn largest(tensor: Tensor<3>) -> f32 {
        tensor.abs().max().into_scalar()
    }

    #[test]
    fn cayley_gives_rotations_of_matrices_of_every_size() {
        for size in [1e-3, 1.0, 30.0] {
            let r = cayley(skew(size));
            let product = r.clone().matmul(r.clone().swap_dims(1, 2));
            assert!(largest(product - identity(&r)) < 1e-5, "{size}");
            let q = skew(size);
            let left = r.matmul(identity(&q) + q.clone());
            assert!(largest(left - (identity(&q) - q)) < 1e-4 * size.max(1.0));
        }
    }

    #[test]
    fn the_series_nears_the_inverse_transform_of_small_matrices() {
        let q = skew(0.1);
        let exact = cayley(q.clone() * -1.0);
        let error = |terms| largest(cayley_series(q.clone(), terms) - exact.clone());
        assert!(error(12) < 1e-6 && error(5) < error(2));
        assert_eq!(error(3), error(4), "PEFT's terms 3 and 4 are the same");
    }

    #[test]
    fn weights_turn_as_inputs_do() {
        let blocks = cayley(skew(1.0));
        let device = Device::default();
        let numbers = |rows: usize, columns: usize| {
            let values: Vec<f32> = (0..rows * columns).map(|i| (i as f32).sin()).collect();
            Tensor::<2>::from_data(TensorData::new(values, [rows, columns]), &device)
        };
        let (x, weight) = (numbers(4, 6), numbers(6, 5));
        for blocks in [blocks.clone(), blocks.narrow(0, 0, 1)] {
            let through = turned(x.clone(), blocks.clone()).matmul(weight.clone());
            let merged = x.clone().matmul(turned_weight(weight.clone(), blocks));
            let difference: f32 = (through - merged).abs().max().into_scalar();
            assert!(difference < 1e-5, "{difference}");
        }
    }
}
