//! One head: the weights of a few queries at a time, and what follows from them.
//!
//! ```text
//! P = softmax(s Q K^T + mask),   P' = dropout(P),   O = P' V
//! dV = P'^T dO,   dP = dropout(dO V^T),   dS = s P (dP - rowsum(P dP)),   dQ = dS K,   dK = dS^T Q
//! ```
//! Scores that are bounded go through the bound before the mask, and `dS` through its derivative:
//! ```text
//! b = c tanh(s Q K^T / c),   dS (1 - (b / c)^2)
//! ```

use std::ops::Range;

use burn::backend::flex::FlexTensor;
use faer::{Accum, MatMut, MatRef};
use pulp::{Arch, Simd, WithSimd};

use super::How;
use super::seen::Seen;
use super::shape::Shape;
use crate::bf16;
use crate::flex::run;
use crate::math::{exp, max, mul_add, sum, sum_pairs};
use crate::soft_cap::flex::{Capped, CappedBackward};
use crate::softmax::flex::BiasRows;

/// Scores that are held at a time: 256 KiB, half of a usual second-level cache.
const SCORES: usize = 1 << 16;
/// Fewest queries of a tile; with fewer the products are slow.
const FEWEST: usize = 16;

/// Buffers of a thread.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    weights: Vec<f32>,
    /// Scores that were bounded.
    bounded: Vec<f32>,
    slopes: Vec<f32>,
    dropped: Vec<f32>,
    seen: Seen,
}

/// How scores become weights, for all heads.
pub(super) struct Weights<'a> {
    shape: Shape,
    how: &'a How,
    bias: Option<BiasRows<'a>>,
}

impl<'a> Weights<'a> {
    pub(super) fn new(shape: Shape, how: &'a How, bias: &'a FlexTensor) -> Self {
        let bias = how.has_bias.then_some(bias);
        Self {
            shape,
            how,
            bias: bias.map(|bias| BiasRows::new(bias, [shape.heads, shape.queries])),
        }
    }

    pub(super) fn shape(&self) -> Shape {
        self.shape
    }

    /// Of the head `at`, counted over all sequences.
    pub(super) fn of_head(&self, at: usize) -> Head<'_> {
        Head {
            weights: self,
            sequence: at / self.shape.heads,
            first_row: at * self.shape.queries,
        }
    }
}

/// How the scores of one head become weights.
pub(super) struct Head<'a> {
    weights: &'a Weights<'a>,
    sequence: usize,
    /// Of the head's rows of scores among those of all heads.
    first_row: usize,
}

impl Head<'_> {
    /// Writes the output and the numbers of each row.
    pub(super) fn forward(
        &self,
        [query, key, value]: [MatRef<'_, f32>; 3],
        scratch: &mut Scratch,
        rows: &mut [[f32; 2]],
        mut output: MatMut<'_, f32>,
    ) {
        for tile in self.tiles() {
            let keys = self.seen(&tile, scratch);
            let (key, value) = (of_rows(key, &keys), of_rows(value, &keys));
            self.scores([of_rows(query, &tile), key], scratch);
            Arch::new().dispatch(Softmax {
                head: self,
                first: tile.start,
                keys: keys.clone(),
                weights: &mut scratch.weights,
                rows: &mut rows[tile.clone()],
            });
            self.drop_some(&mut scratch.weights, tile.start, &keys);
            let weights = matrix(&mut scratch.weights, tile.len(), keys.len());
            let output = output.as_mut().subrows_mut(tile.start, tile.len());
            self.multiply(output, Accum::Replace, weights.as_ref(), value, 1.0);
        }
    }

    /// Writes the gradient of the queries, and adds those of keys and values.
    pub(super) fn backward(
        &self,
        [query, key, value, grad]: [MatRef<'_, f32>; 4],
        scratch: &mut Scratch,
        rows: &[[f32; 2]],
        [mut d_query, mut d_key, mut d_value]: [MatMut<'_, f32>; 3],
    ) {
        for tile in self.tiles() {
            let keys = self.seen(&tile, scratch);
            let (key, value) = (of_rows(key, &keys), of_rows(value, &keys));
            let (query, grad) = (of_rows(query, &tile), of_rows(grad, &tile));
            let (height, width) = (tile.len(), keys.len());
            self.weights_again([query, key], scratch, &tile, &keys, &rows[tile.clone()]);
            let dropped = if self.weights.how.dropout.is_some() {
                scratch.dropped.clone_from(&scratch.weights);
                self.drop_some(&mut scratch.dropped, tile.start, &keys);
                &mut scratch.dropped
            } else {
                &mut scratch.weights
            };
            let dropped = matrix(dropped, height, width);
            let dropped = dropped.as_ref().transpose();
            let d_value = d_value.as_mut().subrows_mut(keys.start, width);
            self.multiply(d_value, Accum::Add, dropped, grad, 1.0);
            self.slopes([grad, value], scratch, &tile, &keys);
            let slopes = matrix(&mut scratch.slopes, height, width);
            let slopes = slopes.as_ref();
            let d_query = d_query.as_mut().subrows_mut(tile.start, height);
            self.multiply(d_query, Accum::Replace, slopes, key, 1.0);
            let d_key = d_key.as_mut().subrows_mut(keys.start, width);
            self.multiply(d_key, Accum::Add, slopes.transpose(), query, 1.0);
        }
    }

    fn multiply(
        &self,
        y: MatMut<'_, f32>,
        how: Accum,
        a: MatRef<'_, f32>,
        b: MatRef<'_, f32>,
        factor: f32,
    ) {
        bf16::multiply(self.weights.how.compute, y, how, a, b, factor);
    }

    /// `scale Q K^T` of some queries and keys, bounded where they are, into the scratch.
    fn scores(&self, [query, key]: [MatRef<'_, f32>; 2], scratch: &mut Scratch) {
        let scores = matrix(&mut scratch.weights, query.nrows(), key.nrows());
        let scale = self.weights.how.scale;
        self.multiply(scores, Accum::Replace, query, key.transpose(), scale);
        if let Some(cap) = self.weights.how.cap {
            run(&Capped(cap), 0, &mut scratch.weights);
        }
    }

    /// The weights as the forward had them before dropout, into the scratch.
    fn weights_again(
        &self,
        [query, key]: [MatRef<'_, f32>; 2],
        scratch: &mut Scratch,
        tile: &Range<usize>,
        keys: &Range<usize>,
        rows: &[[f32; 2]],
    ) {
        self.scores([query, key], scratch);
        if self.weights.how.cap.is_some() {
            scratch.bounded.clone_from(&scratch.weights);
        }
        Arch::new().dispatch(Again {
            head: self,
            first: tile.start,
            keys: keys.clone(),
            weights: &mut scratch.weights,
            rows,
        });
    }

    /// The gradients of the scores, into the scratch, from the weights there.
    fn slopes(
        &self,
        [grad, value]: [MatRef<'_, f32>; 2],
        scratch: &mut Scratch,
        tile: &Range<usize>,
        keys: &Range<usize>,
    ) {
        let slopes = matrix(&mut scratch.slopes, tile.len(), keys.len());
        self.multiply(slopes, Accum::Replace, grad, value.transpose(), 1.0);
        self.drop_some(&mut scratch.slopes, tile.start, keys);
        Arch::new().dispatch(Slopes {
            width: keys.len(),
            scale: self.weights.how.scale,
            weights: &scratch.weights,
            slopes: &mut scratch.slopes,
        });
        if let Some(cap) = self.weights.how.cap {
            let capped = &scratch.bounded;
            run(&CappedBackward { cap, capped }, 0, &mut scratch.slopes);
        }
    }

    /// The queries, a few at a time.
    fn tiles(&self) -> impl Iterator<Item = Range<usize>> {
        let Shape { queries, keys, .. } = self.weights.shape;
        let height = (SCORES / keys.max(1)).max(FEWEST);
        (0..queries)
            .step_by(height)
            .map(move |start| start..(start + height).min(queries))
    }

    /// The keys that some queries see.
    fn seen(&self, queries: &Range<usize>, scratch: &mut Scratch) -> Range<usize> {
        let keys = self.weights.shape.keys;
        let rows = self.first_row + queries.start..self.first_row + queries.end;
        match (&self.weights.bias, &self.weights.how.ranges) {
            (Some(bias), _) => scratch.seen.keys(bias, rows, keys),
            (None, Some(ranges)) => ranges.of(self.sequence, queries.clone()),
            (None, None) => 0..keys,
        }
    }

    /// Drops weights, or their gradients: each is decided by its place among all scores.
    fn drop_some(&self, values: &mut [f32], first: usize, keys: &Range<usize>) {
        if let Some(mask) = self.weights.how.dropout {
            for (at, row) in values.chunks_exact_mut(keys.len().max(1)).enumerate() {
                let row_of_all = self.first_row + first + at;
                let start = row_of_all * self.weights.shape.keys + keys.start;
                Arch::new().dispatch(mask.on(start, row));
            }
        }
    }

    /// The scores of a query with the keys that it sees, out of those of a tile: with the bias added, and those of other keys set to the
    /// weight 0.
    #[inline(always)]
    fn masked<'s>(&self, query: usize, keys: &Range<usize>, row: &'s mut [f32]) -> &'s mut [f32] {
        if let Some(bias) = &self.weights.bias {
            let bias = bias.get(self.first_row + query, self.weights.shape.keys);
            for (x, b) in row.iter_mut().zip(&bias[keys.clone()]) {
                *x += b;
            }
        }
        let Some(ranges) = &self.weights.how.ranges else {
            return row;
        };
        let range = ranges.get(self.sequence, query);
        let (before, behind) = (range.start - keys.start, range.end - keys.start);
        row[..before].fill(0.0);
        row[behind..].fill(0.0);
        &mut row[before..behind]
    }
}

/// A buffer as a matrix of this size.
fn matrix(buffer: &mut Vec<f32>, height: usize, width: usize) -> MatMut<'_, f32> {
    buffer.resize(height * width, 0.0);
    MatMut::from_row_major_slice_mut(buffer, height, width)
}

fn of_rows<'a>(x: MatRef<'a, f32>, rows: &Range<usize>) -> MatRef<'a, f32> {
    x.subrows(rows.start, rows.len())
}

/// Scores to weights, with the largest score of each row and one over the sum of exponentials.
struct Softmax<'a> {
    head: &'a Head<'a>,
    first: usize,
    keys: Range<usize>,
    weights: &'a mut [f32],
    rows: &'a mut [[f32; 2]],
}

impl WithSimd for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        let rows = self.weights.chunks_exact_mut(self.keys.len().max(1));
        for (at, (row, numbers)) in rows.zip(self.rows).enumerate() {
            let row = self.head.masked(self.first + at, &self.keys, row);
            let largest = max(row);
            row.iter_mut().for_each(|x| *x = exp::<S>(*x - largest));
            let share = 1.0 / sum(row, |e| e);
            row.iter_mut().for_each(|x| *x *= share);
            *numbers = [largest, share];
        }
    }
}

/// Scores to weights with the numbers of each row.
struct Again<'a> {
    head: &'a Head<'a>,
    first: usize,
    keys: Range<usize>,
    weights: &'a mut [f32],
    rows: &'a [[f32; 2]],
}

impl WithSimd for Again<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        let rows = self.weights.chunks_exact_mut(self.keys.len().max(1));
        for (at, (row, [largest, share])) in rows.zip(self.rows).enumerate() {
            let row = self.head.masked(self.first + at, &self.keys, row);
            row.iter_mut()
                .for_each(|x| *x = exp::<S>(*x - largest) * share);
        }
    }
}

/// Gradients of weights to those of scores.
struct Slopes<'a> {
    width: usize,
    scale: f32,
    weights: &'a [f32],
    slopes: &'a mut [f32],
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
