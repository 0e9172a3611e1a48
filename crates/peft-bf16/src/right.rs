//! The second factor of a product.

use faer::MatRef;

use crate::instructions::Instructions;
use crate::{DEPTH, LANES, Pair, WIDTH};

/// A piece of the second factor of a product, rounded: strips of columns, and of each the pairs that follow each other.
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
        (self.inner, self.columns) = (x.nrows(), x.ncols());
        let depth = self.inner.div_ceil(2);
        // The columns beside the last are multiplied too, and nobody looks at what comes out.
        self.pairs
            .resize(depth * self.columns.next_multiple_of(LANES), 0);
        let mut rest = &mut self.pairs[..];
        for start in (0..self.columns).step_by(WIDTH) {
            let width = WIDTH.min(self.columns - start);
            let piece;
            (piece, rest) = rest.split_at_mut(depth * width.next_multiple_of(LANES));
            let x = x.subcols(start, width);
            match x.try_as_col_major().is_some() {
                true => round_upright(x, piece, self.by),
                false => round_rows(x, piece, self.by),
            }
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

    /// The strips: their first column, how many columns they have, and the pairs.
    pub(crate) fn strips(&self) -> impl Iterator<Item = (usize, usize, &[Pair])> {
        let depth = self.inner.div_ceil(2);
        (0..self.columns).step_by(WIDTH).map(move |start| {
            let width = WIDTH.min(self.columns - start);
            let first = depth * start;
            let pairs = &self.pairs[first..first + depth * width.next_multiple_of(LANES)];
            (start, width, pairs)
        })
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
