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
use pulp::Arch;

use super::How;
use super::part::{Part, parts};
use super::rows::{Again, Mask, Slopes, Softmax};
use super::seen::Seen;
use super::shape::Shape;
use crate::bf16;
use crate::flex::run;
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
    /// Of every sequence.
    parts: Vec<Vec<Part>>,
}

impl<'a> Weights<'a> {
    pub(super) fn new(shape: Shape, how: &'a How, bias: &'a FlexTensor) -> Self {
        let bias = how.has_bias.then_some(bias);
        Self {
            shape,
            how,
            bias: bias.map(|bias| BiasRows::new(bias, [shape.heads, shape.queries])),
            parts: parts(shape, how.ranges.as_ref()),
        }
    }

    pub(super) fn shape(&self) -> Shape {
        self.shape
    }

    /// The parts of every sequence.
    pub(super) fn parts(&self) -> &[Vec<Part>] {
        &self.parts
    }

    /// Scores of a head that are computed, over all sequences.
    pub(super) fn scores(&self) -> usize {
        let parts = self.parts.iter().flatten();
        parts.map(|part| part.queries.len() * part.keys.len()).sum()
    }

    /// A part of the head `at`, counted over all sequences.
    pub(super) fn of_head<'w>(&'w self, at: usize, part: &'w Part) -> Head<'w> {
        Head {
            weights: self,
            sequence: at / self.shape.heads,
            first_row: at * self.shape.queries,
            part,
        }
    }
}

/// How the scores of a part of one head become weights.
pub(super) struct Head<'a> {
    weights: &'a Weights<'a>,
    sequence: usize,
    /// Of the head's rows of scores among those of all heads.
    first_row: usize,
    part: &'a Part,
}

impl Head<'_> {
    /// Writes the output of the part's queries and the numbers of their rows; what is read are all queries, keys and values.
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
                mask: self.mask(),
                first: tile.start,
                keys: keys.clone(),
                weights: &mut scratch.weights,
                rows: &mut rows[self.own(&tile)],
            });
            self.drop_some(&mut scratch.weights, tile.start, &keys);
            let weights = matrix(&mut scratch.weights, tile.len(), keys.len());
            let output = rows_of(&mut output, self.own(&tile));
            self.multiply(output, Accum::Replace, weights.as_ref(), value, 1.0);
        }
    }

    /// Writes the gradient of the part's queries, and adds those of its keys and values.
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
            let rows = &rows[self.own(&tile)];
            self.weights_again([query, key], scratch, &tile, &keys, rows);
            let dropped = if self.weights.how.dropout.is_some() {
                scratch.dropped.clone_from(&scratch.weights);
                self.drop_some(&mut scratch.dropped, tile.start, &keys);
                &mut scratch.dropped
            } else {
                &mut scratch.weights
            };
            let dropped = matrix(dropped, height, width);
            let dropped = dropped.as_ref().transpose();
            let own_keys = moved(&keys, self.part.keys.start);
            let d_value = rows_of(&mut d_value, own_keys.clone());
            self.multiply(d_value, Accum::Add, dropped, grad, 1.0);
            self.slopes([grad, value], scratch, &tile, &keys);
            let slopes = matrix(&mut scratch.slopes, height, width);
            let slopes = slopes.as_ref();
            let d_query = rows_of(&mut d_query, self.own(&tile));
            self.multiply(d_query, Accum::Replace, slopes, key, 1.0);
            let d_key = rows_of(&mut d_key, own_keys);
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
            mask: self.mask(),
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

    /// The part's queries, a few at a time.
    fn tiles(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let Part { queries, keys } = self.part.clone();
        let height = (SCORES / keys.len().max(1)).max(FEWEST);
        let end = queries.end;
        queries
            .step_by(height)
            .map(move |start| start..(start + height).min(end))
    }

    /// Some queries as the part counts them.
    fn own(&self, queries: &Range<usize>) -> Range<usize> {
        moved(queries, self.part.queries.start)
    }

    /// The keys that some queries see.
    fn seen(&self, queries: &Range<usize>, scratch: &mut Scratch) -> Range<usize> {
        let keys = self.weights.shape.keys;
        let rows = self.first_row + queries.start..self.first_row + queries.end;
        match (&self.weights.bias, &self.weights.how.ranges) {
            (Some(bias), _) => scratch.seen.keys(bias, rows, keys),
            (None, Some(ranges)) => ranges.of(self.sequence, queries.clone()),
            (None, None) => self.part.keys.clone(),
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

    fn mask(&self) -> Mask<'_> {
        Mask {
            bias: self.weights.bias.as_ref(),
            ranges: self.weights.how.ranges.as_ref(),
            keys: self.weights.shape.keys,
            sequence: self.sequence,
            first_row: self.first_row,
        }
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

fn rows_of<'a>(x: &'a mut MatMut<'_, f32>, rows: Range<usize>) -> MatMut<'a, f32> {
    x.as_mut().subrows_mut(rows.start, rows.len())
}

/// A range as counted from a place before it.
fn moved(range: &Range<usize>, from: usize) -> Range<usize> {
    range.start - from..range.end - from
}
