//! Gradients of the parameters of a norm: sums over rows, added up over blocks of rows in their order.

use burn::backend::flex::FlexTensor;
use burn::backend::{TensorData, TensorMetadata};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::flex::values;

/// Rows that one task adds up: fixed, so that the order of the sum is.
const ROWS: usize = 64;

/// What a row adds to `N` sums of its width; `add` must be `inline(always)`.
pub(crate) trait Row<const N: usize>: Sync {
    /// Adds what a row of the input and the gradient of its output give.
    fn add<S: Simd>(&self, x: &[f32], grad: &[f32], sums: &mut [Vec<f32>; N]);
}

/// The sums over all rows of `x` and `grad`, in the shape of `gamma`, whose width a row has.
pub(crate) fn row_sums<const N: usize>(
    x: &[f32],
    grad: &[f32],
    gamma: &FlexTensor,
    row: &impl Row<N>,
) -> [FlexTensor; N] {
    let d = values(gamma).len();
    let block = ROWS * d.max(1);
    let parts: Vec<[Vec<f32>; N]> = x
        .par_chunks(block)
        .zip(grad.par_chunks(block))
        .map(|(x, grad)| Arch::new().dispatch(Block::<_, N> { x, grad, d, row }))
        .collect();
    let mut sums = [(); N].map(|()| vec![0.0_f32; d]);
    for part in parts {
        for (sum, values) in sums.iter_mut().zip(part) {
            sum.iter_mut().zip(values).for_each(|(sum, v)| *sum += v);
        }
    }
    sums.map(|values| FlexTensor::from_data(TensorData::new(values, gamma.shape())))
}

struct Block<'a, R, const N: usize> {
    x: &'a [f32],
    grad: &'a [f32],
    d: usize,
    row: &'a R,
}

impl<R: Row<N>, const N: usize> WithSimd for Block<'_, R, N> {
    type Output = [Vec<f32>; N];

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) -> Self::Output {
        let mut sums = [(); N].map(|()| vec![0.0; self.d]);
        let rows = self.x.chunks_exact(self.d);
        for (x, grad) in rows.zip(self.grad.chunks_exact(self.d)) {
            self.row.add::<S>(x, grad, &mut sums);
        }
        sums
    }
}
