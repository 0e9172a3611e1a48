//! The factors of a butterfly: which inputs meet in a block, and blocks that are held still for a step.

use burn::tensor::{Tensor, TensorData};
use rand::seq::index;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::blocks;

/// `x B_m .. B_1` for `x [rows, n b]` and `rotations [m, n, b, b]`.
pub(super) fn turned(x: Tensor<2>, rotations: &Tensor<4>) -> Tensor<2> {
    let factors = (0..rotations.dims()[0]).rev();
    factors.fold(x, |x, factor| through(x, factor, of(rotations, factor)))
}

/// `B_m .. B_1 W` for `weight [n b, d_out]`.
pub(super) fn turned_weight(weight: Tensor<2>, rotations: &Tensor<4>) -> Tensor<2> {
    let factors = 0..rotations.dims()[0];
    let turned = factors.fold(weight.transpose(), |weight, factor| {
        through(weight, factor, of(rotations, factor).swap_dims(1, 2))
    });
    turned.transpose()
}

/// The blocks of a factor, shape `[n, b, b]`.
fn of(rotations: &Tensor<4>, factor: usize) -> Tensor<3> {
    rotations.clone().narrow(0, factor, 1).squeeze_dim(0)
}

/// `x P diag(R_1, .., R_n) P^T`.
fn through(x: Tensor<2>, factor: usize, rotations: Tensor<3>) -> Tensor<2> {
    if factor == 0 {
        return blocks::turned(x, rotations);
    }
    let [pairs, half] = [1 << factor, rotations.dims()[1] / 2];
    let dealt = swapped(x, [2, pairs], half);
    swapped(blocks::turned(dealt, rotations), [pairs, 2], half)
}

/// Pieces of `half` inputs in another order: within each run they count as a table of `[rows, columns]`, which is transposed.
fn swapped(x: Tensor<2>, [rows, columns]: [usize; 2], half: usize) -> Tensor<2> {
    let shape = x.dims();
    let runs = shape[0] * shape[1] / (rows * columns * half);
    let pieces = x.reshape([runs, rows, columns, half]).swap_dims(1, 2);
    pieces.reshape(shape)
}

/// The rotations with this share of the blocks of one factor as the identity; both are drawn from the seed.
pub(super) fn held(rotations: Tensor<4>, share: f64, seed: u64) -> Tensor<4> {
    let [factors, count, size, _] = rotations.dims();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let factor = rng.random_range(0..factors);
    let mut mask = vec![0.0f32; factors * count];
    for block in index::sample(&mut rng, count, (share * count as f64) as usize) {
        mask[factor * count + block] = 1.0;
    }
    let device = rotations.device();
    let mask = TensorData::new(mask, [factors, count, 1, 1]);
    let mask = Tensor::<4>::from_data(mask, &device);
    let identity = Tensor::<2>::eye(size, &device).unsqueeze::<4>();
    rotations * (mask.clone().neg() + 1.0) + mask * identity
}
