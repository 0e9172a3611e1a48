//! The two random matrices, as PyTorch draws them: a folder without them can be read, and a new adapter has the ones that PEFT would have.
//!
//! PEFT fills `vera_A [rank, d_in]` and then `vera_B [d_out, rank]` from one `torch.Generator` (MT19937) with values of
//! `U(-sqrt(6 / fan_in), sqrt(6 / fan_in))`, Kaiming's for ReLU; `fan_in` is the size of the last axis. Each value takes 24 bits of one output.

use burn::tensor::TensorData;
use rand_mt::Mt;

/// `A [d_in, rank]` and `B [rank, d_out]` of a seed.
pub(super) fn draw(seed: u64, d_in: usize, d_out: usize, rank: usize) -> [TensorData; 2] {
    // PyTorch seeds with the lower half as well.
    let mut generator = Mt::new((seed & u64::from(u32::MAX)) as u32);
    [(rank, d_in), (d_out, rank)].map(|(rows, fan_in)| kaiming(&mut generator, rows, fan_in))
}

/// A matrix `[rows, fan_in]` that is drawn row by row, transposed to `[fan_in, rows]`.
fn kaiming(generator: &mut Mt, rows: usize, fan_in: usize) -> TensorData {
    const BITS: u32 = (1 << 24) - 1;
    let std = 2.0f64.sqrt() / (fan_in as f64).sqrt();
    let bound = 3.0f64.sqrt() * std;
    let (from, to) = (-bound as f32, bound as f32);
    let mut values = vec![0.0; rows * fan_in];
    for row in 0..rows {
        for column in 0..fan_in {
            let bits = generator.next_u32() & BITS;
            values[column * rows + row] = bits as f32 / (BITS + 1) as f32 * (to - from) + from;
        }
    }
    TensorData::new(values, [fan_in, rows])
}
