//! The masks of the experts: one per row and expert, each a function of the seed alone.

use pulp::Simd;

use crate::dropout::derive_seed;
use crate::dropout::flex::{BLOCK, Mask};
use crate::flex::Kernel;

/// One mask per expert, over rows of one width.
pub(super) struct Masks {
    masks: Vec<Mask>,
    /// The width in whole blocks, so that every row begins with one.
    stride: usize,
}

impl Masks {
    /// Masks for `0 < probability < 1`.
    pub(super) fn new(probability: f64, seed: u64, experts: usize, width: usize) -> Self {
        let mask = |expert| Mask::new(probability, derive_seed(seed, expert as u64));
        Self {
            masks: (0..experts).map(mask).collect(),
            stride: width.next_multiple_of(BLOCK),
        }
    }

    /// Multiplies values of a row, from a column that begins a block, by an expert's mask.
    #[inline(always)]
    pub(super) fn apply<S: Simd>(
        &self,
        expert: usize,
        row: usize,
        column: usize,
        values: &mut [f32],
    ) {
        self.masks[expert].run::<S>(row * self.stride + column, values);
    }
}
