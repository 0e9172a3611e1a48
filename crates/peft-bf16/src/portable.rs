//! The kernels without special instructions: values are rounded likewise, and multiplied in f32.

use faer::Accum;
use half::bf16;

use crate::{HEIGHT, LANES, Pair, Tile};

fn pair(first: f32, second: f32) -> Pair {
    let [first, second] = [first, second].map(|value| Pair::from(bf16::from_f32(value).to_bits()));
    first | second << 16
}

/// A pair's values; every bfloat16 is an f32 whose lower half is zero.
fn halves(pair: Pair) -> [f32; 2] {
    [
        f32::from_bits(pair << 16),
        f32::from_bits(pair & 0xffff_0000),
    ]
}

pub(crate) fn round(values: &[f32], pairs: &mut [Pair]) {
    for (values, out) in values.chunks(2).zip(pairs) {
        *out = pair(values[0], values.get(1).copied().unwrap_or_default());
    }
}

/// The values of pairs; of the last one the first alone where there is room for no more.
pub(crate) fn unround(pairs: &[Pair], values: &mut [f32]) {
    let (twos, last) = values.as_chunks_mut::<2>();
    for (two, pair) in twos.iter_mut().zip(pairs) {
        *two = halves(*pair);
    }
    if let ([last], Some(pair)) = (last, pairs.last()) {
        *last = halves(*pair)[0];
    }
}

/// Begins with a pair that is not the first.
pub(crate) fn round_upright(
    columns: [&[f32]; LANES],
    first: usize,
    pairs: &mut [Pair],
    width: usize,
) {
    for (at, column) in columns.into_iter().enumerate() {
        for (pair_at, values) in column.chunks(2).enumerate().skip(first) {
            let second = values.get(1).copied().unwrap_or_default();
            pairs[pair_at * width + at] = pair(values[0], second);
        }
    }
}

pub(crate) fn interleave(upper: &[f32], lower: &[f32], pairs: &mut [Pair]) {
    for ((upper, lower), out) in upper.iter().zip(lower).zip(pairs) {
        *out = pair(*upper, *lower);
    }
}

pub(crate) fn interleave_rounded(upper: &[Pair], lower: &[Pair], pairs: &mut [Pair]) {
    let out = pairs.as_chunks_mut::<2>().0;
    for ((upper, lower), out) in upper.iter().zip(lower).zip(out) {
        *out = [
            upper & 0xffff | lower << 16,
            upper >> 16 | lower & 0xffff_0000,
        ];
    }
}

pub(crate) fn multiply(
    rows: [&[Pair]; HEIGHT],
    columns: &[Pair],
    vectors: usize,
    how: Accum,
    tile: &mut Tile,
) {
    let width = vectors * LANES;
    for (row, sums) in rows.iter().zip(tile) {
        let sums = &mut sums[..width];
        if matches!(how, Accum::Replace) {
            sums.fill(0.0);
        }
        for (of_row, of_columns) in row.iter().zip(columns.chunks_exact(width)) {
            let [first, second] = halves(*of_row);
            for (sum, pair) in sums.iter_mut().zip(of_columns) {
                let of_column = halves(*pair);
                *sum += first * of_column[0] + second * of_column[1];
            }
        }
    }
}
