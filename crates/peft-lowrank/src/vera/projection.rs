//! The two random matrices, as PyTorch draws them: a folder without them can be read, and a new adapter has the ones that PEFT would have.
//!
//! PEFT fills `vera_A [rank, d_in]` and then `vera_B [d_out, rank]` from one generator with values of
//! `U(-sqrt(6 / fan_in), sqrt(6 / fan_in))`, Kaiming's for ReLU; `fan_in` is the size of the last axis.

use burn::tensor::TensorData;

use crate::torch::Torch;

/// `A [d_in, rank]` and `B [rank, d_out]` of a seed.
pub(super) fn draw(seed: u64, d_in: usize, d_out: usize, rank: usize) -> [TensorData; 2] {
    let mut generator = Torch::new(seed);
    [(rank, d_in), (d_out, rank)].map(|(rows, fan_in)| kaiming(&mut generator, rows, fan_in))
}

/// A matrix `[rows, fan_in]` that is drawn row by row, transposed to `[fan_in, rows]`.
fn kaiming(generator: &mut Torch, rows: usize, fan_in: usize) -> TensorData {
    let mut values = vec![0.0; rows * fan_in];
    for row in 0..rows {
        for column in 0..fan_in {
            values[column * rows + row] = generator.kaiming(std::f64::consts::SQRT_2, fan_in);
        }
    }
    TensorData::new(values, [fan_in, rows])
}
