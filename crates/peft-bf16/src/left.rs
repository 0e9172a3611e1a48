//! The first factor of a product.

use std::ops::Range;
use std::sync::Arc;

use faer::MatRef;
use rayon::iter::{IndexedParallelIterator, ParallelIterator};
use rayon::slice::ParallelSliceMut;

use crate::instructions::Instructions;
use crate::zeros::zeros;
use crate::{DEPTH, Pair, portable};

/// Rows that a thread rounds at a time.
const ROWS_PER_TASK: usize = 64;
/// Passes begin at multiples of this.
const EVEN: usize = 256;
/// Values that are worth all threads.
const MANY: usize = 1 << 18;

/// The first factor of a product, rounded: its columns in blocks, the rows of a block one after the other.
#[derive(Debug)]
pub struct Left {
    pairs: Arc<Vec<Pair>>,
    rows: usize,
    inner: usize,
    by: Instructions,
}

/// Rows of a first factor, and the inner values that one pass sums.
#[derive(Debug, Clone)]
pub struct Piece<'a> {
    /// The pairs of the rows.
    pairs: &'a [Pair],
    width: usize,
    rows: usize,
    inner: usize,
    by: Instructions,
}

impl Left {
    /// Rounds a matrix, by all threads of the pool where it is large.
    #[must_use]
    pub fn new(x: MatRef<'_, f32>) -> Self {
        Self::rounded(x, Instructions::default())
    }

    pub(crate) fn rounded(x: MatRef<'_, f32>, by: Instructions) -> Self {
        let (rows, inner) = (x.nrows(), x.ncols());
        let mut pairs = zeros(rows * inner.div_ceil(2));
        let mut left = Self {
            pairs: Arc::default(),
            rows,
            inner,
            by,
        };
        for columns in left.blocks() {
            let (range, width) = left.place(&columns);
            let x = x.subcols(columns.start, columns.len());
            let task = |(at, pairs): (usize, &mut [Pair])| {
                let first = at * ROWS_PER_TASK;
                let height = pairs.len() / width;
                round_rows(x.subrows(first, height), pairs, by);
            };
            let pairs = &mut pairs[range];
            match rows * inner >= MANY {
                true => pairs
                    .par_chunks_mut(ROWS_PER_TASK * width)
                    .enumerate()
                    .for_each(task),
                false => task((0, pairs)),
            }
        }
        left.pairs = Arc::new(pairs);
        left
    }

    /// The same values in rows of another length, which share the memory; nothing where they would lie otherwise.
    #[must_use]
    pub fn in_rows_of(&self, inner: usize) -> Option<Self> {
        let count = self.rows * self.inner;
        let fits = inner > 0 && count.is_multiple_of(inner);
        let in_order = [self.inner, inner]
            .iter()
            .all(|inner| *inner <= DEPTH && inner.is_multiple_of(2));
        (fits && in_order).then(|| Self {
            pairs: Arc::clone(&self.pairs),
            rows: count / inner,
            inner,
            by: self.by,
        })
    }

    /// The rounded values, row after row.
    #[must_use]
    pub fn values(&self) -> Vec<f32> {
        if self.inner == 0 {
            return Vec::new();
        }
        let mut values = zeros(self.rows * self.inner);
        let task = |(at, values): (usize, &mut [f32])| {
            for (row, values) in values.chunks_exact_mut(self.inner).enumerate() {
                self.unround(at * ROWS_PER_TASK + row, values);
            }
        };
        let rows = ROWS_PER_TASK * self.inner;
        match values.len() >= MANY {
            true => values.par_chunks_mut(rows).enumerate().for_each(task),
            false => values.chunks_mut(rows).enumerate().for_each(task),
        }
        values
    }

    /// The values of a row.
    fn unround(&self, row: usize, values: &mut [f32]) {
        for block in self.blocks() {
            let (range, width) = self.place(&block);
            let pairs = &self.pairs[range][row * width..][..width];
            portable::unround(pairs, &mut values[block]);
        }
    }

    /// Rows of the product.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Inner values of the product.
    #[must_use]
    pub fn inner(&self) -> usize {
        self.inner
    }

    /// The inner values, a pass after the other: by their number alone, so that a value is one sum in one order. Each begins at a multiple of
    /// 256.
    pub fn blocks(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let (inner, depth) = (self.inner, self.depth());
        (0..inner)
            .step_by(depth)
            .map(move |start| start..(start + depth).min(inner))
    }

    /// Inner values of a pass but the last: as even as blocks of packed weights let them be, at most [`DEPTH`].
    fn depth(&self) -> usize {
        let passes = self.inner.div_ceil(DEPTH).max(1);
        match passes {
            1 => DEPTH,
            _ => self.inner.div_ceil(passes).next_multiple_of(EVEN),
        }
    }

    /// Some rows of one of the [`blocks`](Self::blocks).
    ///
    /// # Panics
    /// When there are no such rows, or no such block.
    #[must_use]
    pub fn piece(&self, rows: Range<usize>, block: Range<usize>) -> Piece<'_> {
        let last = (block.start + self.depth()).min(self.inner);
        let is_block = block.start.is_multiple_of(self.depth()) && block.end == last;
        assert!(
            rows.end <= self.rows && is_block,
            "rows {rows:?} and inner values {block:?} of [{}, {}]",
            self.rows,
            self.inner,
        );
        let (range, width) = self.place(&block);
        Piece {
            pairs: &self.pairs[range][rows.start * width..rows.end * width],
            width,
            rows: rows.len(),
            inner: block.len(),
            by: self.by,
        }
    }

    /// Where a block is, and how many pairs a row of it has.
    fn place(&self, block: &Range<usize>) -> (Range<usize>, usize) {
        let width = block.len().div_ceil(2);
        let start = self.rows * block.start / 2;
        (start..start + self.rows * width, width)
    }
}

impl Piece<'_> {
    /// How many rows it has.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// How many inner values.
    #[must_use]
    pub fn inner(&self) -> usize {
        self.inner
    }

    pub(crate) fn by(&self) -> Instructions {
        self.by
    }

    /// The pairs of one of the rows.
    pub(crate) fn row(&self, row: usize) -> &[Pair] {
        &self.pairs[row * self.width..][..self.width]
    }
}

/// Rounds rows to pairs of neighbours.
fn round_rows(x: MatRef<'_, f32>, pairs: &mut [Pair], by: Instructions) {
    let width = x.ncols().div_ceil(2);
    let rows = pairs.chunks_exact_mut(width);
    if x.try_as_row_major().is_some() {
        for (values, pairs) in x.row_iter().zip(rows) {
            let values = values.try_as_row_major().expect("rows lie in one piece");
            by.round(values.as_slice(), pairs);
        }
        return;
    }
    // The rows stand upright: two columns make a column of pairs.
    let mut room = vec![0; x.nrows()];
    let (mut upper, mut lower) = (vec![0.0; x.nrows()], vec![0.0; x.nrows()]);
    for at in 0..width {
        copy(x.subcols(2 * at, 1), &mut upper);
        match 2 * at + 1 < x.ncols() {
            true => copy(x.subcols(2 * at + 1, 1), &mut lower),
            false => lower.fill(0.0),
        }
        by.interleave(&upper, &lower, &mut room);
        for (pair, row) in room.iter().zip(pairs.chunks_exact_mut(width)) {
            row[at] = *pair;
        }
    }
}

/// The values of one column.
fn copy(column: MatRef<'_, f32>, values: &mut [f32]) {
    let column = column.col(0);
    match column.try_as_col_major() {
        Some(column) => values.copy_from_slice(column.as_slice()),
        None => values
            .iter_mut()
            .zip(column.iter())
            .for_each(|(out, value)| *out = *value),
    }
}
