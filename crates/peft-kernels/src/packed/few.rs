//! Products of few rows with packed weights: what a token of a text that is being written needs.
//!
//! Products of many rows copy both factors into an order of their own first, which many rows pay for and few do not. Here some rows of
//! the packed matrix at a time are unpacked into a buffer of the first-level cache and used up from there.

use std::ops::Range;

use faer::{MatMut, MatRef};
use pulp::{Arch, Simd, WithSimd};

use super::PackedRows;
use super::tile::{Tile, pieces, whole_blocks};

/// Rows of the packed matrix that are used together.
const TOGETHER: usize = 4;
/// Values of a row that are unpacked at once: 16 KiB for all rows. Fixed, so that sums have one order however the output is cut.
const LENGTH: usize = 1024;

/// `y = a P^T`, where the columns of `y` are some rows of `P`.
pub(super) fn by_outputs(
    mut y: MatMut<'_, f32>,
    columns: Range<usize>,
    a: MatRef<'_, f32>,
    packed: &dyn PackedRows,
    tile: &mut Tile,
) {
    let inner = a.ncols();
    let length = LENGTH.next_multiple_of(packed.block());
    let a = row_after_row(a);
    y.fill(0.0);
    if inner == 0 {
        return;
    }
    for first in columns.clone().step_by(TOGETHER) {
        let outputs = first..(first + TOGETHER).min(columns.end);
        for start in (0..inner).step_by(length) {
            let piece = start..(start + length).min(inner);
            let weights = tile.values(packed, outputs.clone(), piece.clone());
            for (row, a) in a.chunks_exact(inner).enumerate() {
                let a = &a[piece.clone()];
                let sums = Arch::new().dispatch(Dots { a, weights });
                for (output, sum) in outputs.clone().zip(sums) {
                    y[(row, output - columns.start)] += sum;
                }
            }
        }
    }
}

/// `y = a P`, where the columns of `y` are some columns of `P`.
pub(super) fn by_inputs(
    mut y: MatMut<'_, f32>,
    columns: Range<usize>,
    a: MatRef<'_, f32>,
    packed: &dyn PackedRows,
    tile: &mut Tile,
) {
    let (rows, inner) = (a.nrows(), a.ncols());
    if inner == 0 {
        y.fill(0.0);
        return;
    }
    let length = LENGTH.next_multiple_of(packed.block());
    let a = row_after_row(a);
    for strip in pieces(columns.clone(), length) {
        let whole = whole_blocks(packed, &strip);
        let mut sums = vec![0.0; rows * whole.len()];
        for start in (0..inner).step_by(TOGETHER) {
            let inputs = start..(start + TOGETHER).min(inner);
            let weights = tile.values(packed, inputs.clone(), whole.clone());
            for (sums, a) in sums
                .chunks_exact_mut(whole.len())
                .zip(a.chunks_exact(inner))
            {
                let a = &a[inputs.clone()];
                Arch::new().dispatch(Sums { a, weights, sums });
            }
        }
        for (row, sums) in sums.chunks_exact(whole.len()).enumerate() {
            for column in strip.clone() {
                y[(row, column - columns.start)] = sums[column - whole.start];
            }
        }
    }
}

/// Adds `factor a b` to `y`, inner value after inner value however many columns there are.
pub(super) fn add_shallow(
    mut y: MatMut<'_, f32>,
    a: MatRef<'_, f32>,
    b: MatRef<'_, f32>,
    factor: f32,
) {
    let mut sums = vec![0.0; y.ncols()];
    for (y, a) in y.as_mut().row_iter_mut().zip(a.row_iter()) {
        sums.fill(0.0);
        for (a, b) in a.iter().zip(b.row_iter()) {
            let pairs = sums.iter_mut();
            match b.try_as_row_major() {
                Some(b) => pairs.zip(b.as_slice()).for_each(|(sum, b)| *sum += a * b),
                None => pairs.zip(b.iter()).for_each(|(sum, b)| *sum += a * b),
            }
        }
        for (y, sum) in y.iter_mut().zip(&sums) {
            *y += factor * sum;
        }
    }
}

fn row_after_row(a: MatRef<'_, f32>) -> Vec<f32> {
    let rows = a.row_iter();
    rows.flat_map(|row| row.iter().copied()).collect()
}

/// The products of a row with up to [`TOGETHER`] rows of its length.
struct Dots<'a> {
    a: &'a [f32],
    weights: &'a [f32],
}

impl WithSimd for Dots<'_> {
    type Output = [f32; TOGETHER];

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> [f32; TOGETHER] {
        let (a, length) = (self.a, self.a.len());
        let mut sums = [0.0; TOGETHER];
        if self.weights.len() == TOGETHER * length {
            let mut rows = [self.weights; TOGETHER];
            for (at, row) in rows.iter_mut().enumerate() {
                *row = &self.weights[at * length..(at + 1) * length];
            }
            return dots(simd, a, rows);
        }
        for (sum, weights) in sums.iter_mut().zip(self.weights.chunks_exact(length)) {
            [*sum] = dots(simd, a, [weights]);
        }
        sums
    }
}

/// The products of `a` with some rows, each summed in the same order however many there are.
#[inline(always)]
fn dots<S: Simd, const N: usize>(simd: S, a: &[f32], rows: [&[f32]; N]) -> [f32; N] {
    let (whole, rest) = S::as_simd_f32s(a);
    let mut vectors: [&[S::f32s]; N] = [&[]; N];
    let mut sums = [simd.splat_f32s(0.0); N];
    let last = simd.partial_load_f32s(rest);
    for ((vectors, sum), row) in vectors.iter_mut().zip(&mut sums).zip(rows) {
        let (row, rest) = S::as_simd_f32s(row);
        *vectors = &row[..whole.len()];
        *sum = simd.mul_add_e_f32s(last, simd.partial_load_f32s(rest), *sum);
    }
    for (at, a) in whole.iter().enumerate() {
        for (sum, vectors) in sums.iter_mut().zip(&vectors) {
            *sum = simd.mul_add_e_f32s(*a, vectors[at], *sum);
        }
    }
    let mut totals = [0.0; N];
    for (total, sum) in totals.iter_mut().zip(sums) {
        *total = simd.reduce_sum_f32s(sum);
    }
    totals
}

/// To sums the rows of weights times a number each.
struct Sums<'a> {
    a: &'a [f32],
    weights: &'a [f32],
    sums: &'a mut [f32],
}

impl WithSimd for Sums<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let length = self.sums.len();
        if let ([a, b, c, d], true) = (self.a, self.weights.len() == TOGETHER * length) {
            let (ab, cd) = self.weights.split_at(2 * length);
            let ((p, q), (r, s)) = (ab.split_at(length), cd.split_at(length));
            add_all(simd, [*a, *b, *c, *d], [p, q, r, s], self.sums);
            return;
        }
        for (a, weights) in self.a.iter().zip(self.weights.chunks_exact(length)) {
            add_all(simd, [*a], [weights], self.sums);
        }
    }
}

/// Adds rows times a number each, one after the other to every sum.
#[inline(always)]
fn add_all<S: Simd, const N: usize>(simd: S, a: [f32; N], rows: [&[f32]; N], sums: &mut [f32]) {
    let (sums, last) = S::as_mut_simd_f32s(sums);
    let mut factors = [simd.splat_f32s(0.0); N];
    let mut vectors: [&[S::f32s]; N] = [&[]; N];
    let mut of_last = simd.partial_load_f32s(last);
    for (at, row) in rows.iter().enumerate() {
        let (row, rest) = S::as_simd_f32s(row);
        factors[at] = simd.splat_f32s(a[at]);
        vectors[at] = &row[..sums.len()];
        of_last = simd.mul_add_e_f32s(factors[at], simd.partial_load_f32s(rest), of_last);
    }
    simd.partial_store_f32s(last, of_last);
    for (at, sum) in sums.iter_mut().enumerate() {
        for (factor, vectors) in factors.iter().zip(&vectors) {
            *sum = simd.mul_add_e_f32s(*factor, vectors[at], *sum);
        }
    }
}
