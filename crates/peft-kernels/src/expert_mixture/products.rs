//! The three products of a mixture, over the pairs of a row and an expert that it chose, grouped by the expert.
//!
//! With `F_e` an expert's factor, `[rank, width]`, `drop_e` its mask or nothing, and a pair `p` of row `t` and expert `e`:
//!
//! ```text
//! project   c_p = drop_e(x_t) F_e^T
//! expand    y_t = sum_p drop_e(s_p c_p F_e)
//! outer     G_e = sum_p s_p c_p^T drop_e(x_t)
//! ```
//!
//! Sums over pairs go by the experts within a row, and by the rows within an expert, whatever the tasks.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::masks::Masks;
use super::routes::Routes;
use super::tiles::{COLUMNS, accumulate, dots, multiply};

/// Rows of one task of [`Mixture::project`] and [`Mixture::expand`]: several for each expert, which then finds its factor in the cache.
const ROWS_PER_TASK: usize = 128;
/// Pairs of one expert that [`Mixture::outer`] prepares together.
const PAIRS: usize = 32;

/// Rows of one width: those of a tensor, or all factors one under the other.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    pub(super) values: &'a [f32],
    pub(super) width: usize,
}

impl<'a> Rows<'a> {
    /// `count` rows from `first` on.
    #[inline(always)]
    fn range(self, first: usize, count: usize) -> &'a [f32] {
        &self.values[first * self.width..][..count * self.width]
    }
}

/// `rank` values of each pair, and a factor of each pair.
#[derive(Clone, Copy)]
pub(super) struct Scaled<'a> {
    pub(super) values: &'a [f32],
    pub(super) scales: &'a [f32],
}

/// What the products of one call have in common.
#[derive(Clone, Copy)]
pub(super) struct Mixture<'a> {
    pub(super) routes: &'a Routes,
    pub(super) rank: usize,
}

impl Mixture<'_> {
    /// `rank` values of each pair.
    pub(super) fn project(self, rows: Rows, factors: Rows, masks: Option<&Masks>) -> Vec<f32> {
        let mut target = vec![0.0; self.routes.len() * self.rank];
        let size = ROWS_PER_TASK * self.routes.slots() * self.rank;
        let tasks = target.par_chunks_mut(size.max(1)).enumerate();
        tasks.for_each(|(task, target)| {
            Arch::new().dispatch(Project {
                mixture: self,
                first: task * ROWS_PER_TASK,
                target,
                rows,
                factors,
                masks,
            });
        });
        target
    }

    /// `count` rows as wide as the factors.
    pub(super) fn expand(
        self,
        count: usize,
        pairs: Scaled,
        factors: Rows,
        masks: Option<&Masks>,
    ) -> Vec<f32> {
        let mut target = vec![0.0; count * factors.width];
        let size = ROWS_PER_TASK * factors.width;
        let tasks = target.par_chunks_mut(size.max(1)).enumerate();
        tasks.for_each(|(task, target)| {
            Arch::new().dispatch(Expand {
                mixture: self,
                first: task * ROWS_PER_TASK,
                target,
                pairs,
                factors,
                masks,
            });
        });
        target
    }

    /// The sums of all experts one under the other, `[experts rank, width]`.
    pub(super) fn outer(self, pairs: Scaled, rows: Rows, masks: Option<&Masks>) -> Vec<f32> {
        let experts = self.routes.experts();
        let ranges = rows.width.div_ceil(COLUMNS);
        // The same columns for every expert, one after the other: they stay in the cache.
        let tiles: Vec<Vec<f32>> = (0..ranges * experts)
            .into_par_iter()
            .map(|task| {
                Arch::new().dispatch(Outer {
                    mixture: self,
                    expert: task % experts,
                    column: task / experts * COLUMNS,
                    pairs,
                    rows,
                    masks,
                })
            })
            .collect();
        let mut total = Vec::with_capacity(experts * self.rank * rows.width);
        for expert in 0..experts {
            for at in 0..self.rank {
                for range in 0..ranges {
                    let width = COLUMNS.min(rows.width - range * COLUMNS);
                    let tile = &tiles[range * experts + expert];
                    total.extend_from_slice(&tile[at * COLUMNS..][..width]);
                }
            }
        }
        total
    }
}

/// [`Mixture::project`] for some of the rows.
struct Project<'a> {
    mixture: Mixture<'a>,
    first: usize,
    target: &'a mut [f32],
    rows: Rows<'a>,
    factors: Rows<'a>,
    masks: Option<&'a Masks>,
}

impl WithSimd for Project<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Mixture { routes, rank } = self.mixture;
        let mut dropped = vec![0.0; self.masks.map_or(0, |_| self.rows.width)];
        for expert in 0..routes.experts() {
            let factor = self.factors.range(expert * rank, rank);
            for pair in routes.within(expert, self.first..self.first + ROWS_PER_TASK) {
                let row = pair / routes.slots();
                let mut values = self.rows.range(row, 1);
                if let Some(masks) = self.masks {
                    dropped.copy_from_slice(values);
                    masks.apply::<S>(expert, row, 0, &mut dropped);
                    values = &dropped;
                }
                let at = (pair - self.first * routes.slots()) * rank;
                dots(simd, values, factor, &mut self.target[at..at + rank]);
            }
        }
    }
}

/// [`Mixture::expand`] for some of the rows.
struct Expand<'a> {
    mixture: Mixture<'a>,
    first: usize,
    target: &'a mut [f32],
    pairs: Scaled<'a>,
    factors: Rows<'a>,
    masks: Option<&'a Masks>,
}

impl WithSimd for Expand<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Mixture { routes, rank } = self.mixture;
        let width = self.factors.width;
        let mut dropped = vec![0.0; self.masks.map_or(0, |_| width)];
        for expert in 0..routes.experts() {
            let factor = self.factors.range(expert * rank, rank);
            for pair in routes.within(expert, self.first..self.first + ROWS_PER_TASK) {
                let row = pair / routes.slots();
                let at = (row - self.first) * width;
                let target = &mut self.target[at..at + width];
                let values = &self.pairs.values[pair * rank..][..rank];
                let scale = self.pairs.scales[*pair];
                let Some(masks) = self.masks else {
                    accumulate(simd, values, scale, factor, target);
                    continue;
                };
                dropped.fill(0.0);
                accumulate(simd, values, scale, factor, &mut dropped);
                masks.apply::<S>(expert, row, 0, &mut dropped);
                target.iter_mut().zip(&dropped).for_each(|(t, v)| *t += v);
            }
        }
    }
}

/// Some columns of one expert of [`Mixture::outer`], `[rank, COLUMNS]`; columns that there are not stay zero.
struct Outer<'a> {
    mixture: Mixture<'a>,
    expert: usize,
    column: usize,
    pairs: Scaled<'a>,
    rows: Rows<'a>,
    masks: Option<&'a Masks>,
}

impl WithSimd for Outer<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Vec<f32> {
        let Mixture { routes, rank } = self.mixture;
        let width = COLUMNS.min(self.rows.width - self.column);
        let is_copied = self.masks.is_some() || width < COLUMNS;
        let mut sums = vec![0.0; rank * COLUMNS];
        let mut copies = vec![0.0; if is_copied { PAIRS * COLUMNS } else { 0 }];
        let mut values = vec![0.0; PAIRS * rank];
        let mut starts = [0; PAIRS];
        for pairs in routes.of(self.expert).chunks(PAIRS) {
            for (at, pair) in pairs.iter().enumerate() {
                let row = pair / routes.slots();
                let source = &self.pairs.values[pair * rank..][..rank];
                let scaled = values[at * rank..][..rank].iter_mut().zip(source);
                scaled.for_each(|(value, of)| *value = of * self.pairs.scales[*pair]);
                starts[at] = row * self.rows.width + self.column;
                if is_copied {
                    let copy = &mut copies[at * COLUMNS..][..width];
                    copy.copy_from_slice(&self.rows.values[starts[at]..][..width]);
                    if let Some(masks) = self.masks {
                        masks.apply::<S>(self.expert, row, self.column, copy);
                    }
                    starts[at] = at * COLUMNS;
                }
            }
            let source = if is_copied { &copies } else { self.rows.values };
            let (values, starts) = (&values[..pairs.len() * rank], &starts[..pairs.len()]);
            multiply(simd, values, source, starts, &mut sums);
        }
        sums
    }
}
