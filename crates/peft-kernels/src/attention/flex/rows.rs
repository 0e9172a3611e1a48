//! What is done with each row of scores: to weights, to the same weights again, to gradients.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use crate::attention::mask::HostRanges;
use crate::math::{exp, max, mul_add, sum, sum_pairs};
use crate::softmax::flex::BiasRows;

/// Which keys the queries of one head see.
pub(super) struct Mask<'a> {
    pub(super) bias: Option<&'a BiasRows<'a>>,
    pub(super) ranges: Option<&'a HostRanges>,
    /// Keys of a row of the bias.
    pub(super) keys: usize,
    pub(super) sequence: usize,
    /// Of the head's rows of scores among those of all heads.
    pub(super) first_row: usize,
}

impl Mask<'_> {
    /// The scores of a query with the keys that it sees, out of those of a tile: with the bias added, and those of other keys set to the
    /// weight 0.
    #[inline(always)]
    fn apply<'s>(&self, query: usize, keys: &Range<usize>, row: &'s mut [f32]) -> &'s mut [f32] {
        if let Some(bias) = self.bias {
            let bias = bias.get(self.first_row + query, self.keys);
            for (x, b) in row.iter_mut().zip(&bias[keys.clone()]) {
                *x += b;
            }
        }
        let Some(ranges) = self.ranges else {
            return row;
        };
        let range = ranges.get(self.sequence, query);
        let (before, behind) = (range.start - keys.start, range.end - keys.start);
        row[..before].fill(0.0);
        row[behind..].fill(0.0);
        &mut row[before..behind]
    }
}

/// Scores to weights, with the largest score of each row and one over the sum of exponentials.
pub(super) struct Softmax<'a> {
    pub(super) mask: Mask<'a>,
    pub(super) first: usize,
    pub(super) keys: Range<usize>,
    pub(super) weights: &'a mut [f32],
    pub(super) rows: &'a mut [[f32; 2]],
}

impl WithSimd for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        let rows = self.weights.chunks_exact_mut(self.keys.len().max(1));
        for (at, (row, numbers)) in rows.zip(self.rows).enumerate() {
            let row = self.mask.apply(self.first + at, &self.keys, row);
            let largest = max(row);
            row.iter_mut().for_each(|x| *x = exp::<S>(*x - largest));
            let share = 1.0 / sum(row, |e| e);
            row.iter_mut().for_each(|x| *x *= share);
            *numbers = [largest, share];
        }
    }
}

/// Scores to weights with the numbers of each row.
pub(super) struct Again<'a> {
    pub(super) mask: Mask<'a>,
    pub(super) first: usize,
    pub(super) keys: Range<usize>,
    pub(super) weights: &'a mut [f32],
    pub(super) rows: &'a [[f32; 2]],
}

impl WithSimd for Again<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        let rows = self.weights.chunks_exact_mut(self.keys.len().max(1));
        for (at, (row, [largest, share])) in rows.zip(self.rows).enumerate() {
            let row = self.mask.apply(self.first + at, &self.keys, row);
            row.iter_mut()
                .for_each(|x| *x = exp::<S>(*x - largest) * share);
        }
    }
}

/// Gradients of weights to those of scores.
pub(super) struct Slopes<'a> {
    pub(super) width: usize,
    pub(super) scale: f32,
    pub(super) weights: &'a [f32],
    pub(super) slopes: &'a mut [f32],
}

impl WithSimd for Slopes<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        let rows = self.slopes.chunks_exact_mut(self.width.max(1));
        for (slopes, weights) in rows.zip(self.weights.chunks_exact(self.width.max(1))) {
            let mean = sum_pairs(slopes, weights, |slope, weight| slope * weight);
            for (slope, weight) in slopes.iter_mut().zip(weights) {
                let scaled = self.scale * weight;
                *slope = mul_add::<S>(scaled, *slope, -(scaled * mean));
            }
        }
    }
}
