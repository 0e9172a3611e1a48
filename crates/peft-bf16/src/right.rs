//! The second factor of a product.

use std::ops::Range;

use faer::MatRef;

use crate::instructions::Instructions;
use crate::left::Piece;
use crate::{DEPTH, LANES, Pair, WIDTH};

/// A piece of the second factor of a product, rounded: strips of columns, and of each the pairs that follow each other. Its memory stays as
/// large as the largest piece needed it.
#[derive(Debug, Default)]
pub struct Right {
    pairs: Vec<Pair>,
    inner: usize,
    columns: usize,
    pub(crate) by: Instructions,
}

impl Right {
    /// Rounds a piece of a matrix in the place of what was here before.
    ///
    /// # Panics
    /// With more than [`DEPTH`] rows.
    pub fn set(&mut self, x: MatRef<'_, f32>) {
        assert!(x.nrows() <= DEPTH, "{} of {DEPTH} inner values", x.nrows());
        self.make_room(x.nrows(), x.ncols());
        let by = self.by;
        self.for_each_strip(|start, width, strip| {
            let x = x.subcols(start, width);
            match x.try_as_col_major().is_some() {
                true => round_upright(x, strip, by),
                false => round_rows(x, strip, by),
            }
        });
    }

    /// The same with some columns of what was rounded as a first factor, whose rows are summed over now.
    ///
    /// # Panics
    /// With more than [`DEPTH`] rows, columns that are not there, or a first column that is odd.
    pub fn set_rounded(&mut self, x: &Piece<'_>, columns: Range<usize>) {
        assert!(
            x.rows() <= DEPTH && columns.end <= x.inner() && columns.start.is_multiple_of(2),
            "{} of {DEPTH} inner values, columns {columns:?} of {}",
            x.rows(),
            x.inner(),
        );
        let first = columns.start / 2;
        self.make_room(x.rows(), columns.len());
        let (rows, by, zeros) = (self.inner, self.by, [0; WIDTH / 2]);
        self.for_each_strip(|start, width, strip| {
            let of_row = |row: usize| &x.row(row)[first + start / 2..][..width.div_ceil(2)];
            let pairs = strip.chunks_exact_mut(width.next_multiple_of(LANES));
            for (at, pairs) in pairs.enumerate() {
                let upper = of_row(2 * at);
                let lower = match 2 * at + 1 < rows {
                    true => of_row(2 * at + 1),
                    false => &zeros[..upper.len()],
                };
                by.interleave_rounded(upper, lower, pairs);
            }
        });
    }

    /// The columns beside the last are multiplied too, and nobody looks at what comes out.
    fn make_room(&mut self, inner: usize, columns: usize) {
        (self.inner, self.columns) = (inner, columns);
        let count = inner.div_ceil(2) * columns.next_multiple_of(LANES);
        if self.pairs.len() < count {
            self.pairs.resize(count, 0);
        }
    }

    /// Calls `fill` with the first column of every strip, how many columns it has, and its pairs.
    fn for_each_strip(&mut self, mut fill: impl FnMut(usize, usize, &mut [Pair])) {
        let (depth, columns) = (self.inner.div_ceil(2), self.columns);
        let mut rest = &mut self.pairs[..];
        for start in (0..columns).step_by(WIDTH) {
            let width = WIDTH.min(columns - start);
            let strip;
            (strip, rest) = rest.split_at_mut(depth * width.next_multiple_of(LANES));
            fill(start, width, strip);
        }
    }

    /// Rows of the piece.
    #[must_use]
    pub fn inner(&self) -> usize {
        self.inner
    }

    /// Columns of the piece.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The pairs of the strip that begins with a column.
    pub(crate) fn strip(&self, start: usize) -> &[Pair] {
        let depth = self.inner.div_ceil(2);
        let width = WIDTH.min(self.columns - start).next_multiple_of(LANES);
        &self.pairs[depth * start..][..depth * width]
    }
}

/// A strip of columns that lie in one piece each.
fn round_upright(x: MatRef<'_, f32>, strip: &mut [Pair], by: Instructions) {
    let width = x.ncols().next_multiple_of(LANES);
    for start in (0..x.ncols()).step_by(LANES) {
        let last = x.ncols() - 1;
        // The columns beside the last are the last again.
        let columns = std::array::from_fn(|at| {
            let column = x.col((start + at).min(last));
            let column = column.try_as_col_major();
            column.expect("columns lie in one piece").as_slice()
        });
        by.round_upright(columns, &mut strip[start..], width);
    }
}

/// A strip of any other matrix.
fn round_rows(x: MatRef<'_, f32>, strip: &mut [Pair], by: Instructions) {
    let width = x.ncols().next_multiple_of(LANES);
    let (mut upper, mut lower) = ([0.0; WIDTH], [0.0; WIDTH]);
    for (at, pairs) in strip.chunks_exact_mut(width).enumerate() {
        let upper = values(x, 2 * at, &mut upper);
        let lower = match 2 * at + 1 < x.nrows() {
            true => values(x, 2 * at + 1, &mut lower),
            false => &[0.0; WIDTH][..x.ncols()],
        };
        by.interleave(upper, lower, pairs);
    }
}

/// The values of one row, where they lie or copied.
fn values<'a>(x: MatRef<'a, f32>, row: usize, room: &'a mut [f32; WIDTH]) -> &'a [f32] {
    let row = x.row(row);
    if let Some(row) = row.try_as_row_major() {
        return row.as_slice();
    }
    for (out, value) in room.iter_mut().zip(row.iter()) {
        *out = *value;
    }
    &room[..row.ncols()]
}
