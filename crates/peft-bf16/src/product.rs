//! Products.

use faer::{Accum, MatMut, MatRef};

use crate::left::{Left, Piece};
use crate::right::Right;
use crate::{HEIGHT, LANES, Tile, WIDTH};

/// Rows that are multiplied by all strips before the next: their pairs stay in a core's cache.
const ROWS: usize = 32 * HEIGHT;

/// Columns that [`product`] rounds at a time.
const COLUMNS: usize = 8 * WIDTH;

/// Sets `y` to `factor` times a sum of products, or adds that to it. What is narrow, as a low-rank pair beside a weight, costs little so:
/// the output is written once.
///
/// # Shapes
/// `y [rows, columns]`, row after row; of each product `[rows, inner]` and `[inner, columns]`.
///
/// # Panics
/// When the sizes disagree, or values of a row of `y` do not lie side by side.
pub fn multiply(
    mut y: MatMut<'_, f32>,
    how: Accum,
    products: &[(&Piece<'_>, &Right)],
    factor: f32,
) {
    let (rows, columns) = (y.nrows(), y.ncols());
    for (piece, right) in products {
        assert!(
            rows == piece.rows() && columns == right.columns() && piece.inner() == right.inner(),
            "the output is [{rows}, {columns}], the factors are [{}, {}] and [{}, {}]",
            piece.rows(),
            piece.inner(),
            right.inner(),
            right.columns(),
        );
    }
    let mut tile: Tile = [[0.0; WIDTH]; HEIGHT];
    for first in (0..rows).step_by(ROWS) {
        let last = (first + ROWS).min(rows);
        for column in (0..columns).step_by(WIDTH) {
            let width = WIDTH.min(columns - column);
            let vectors = width.div_ceil(LANES);
            for top in (first..last).step_by(HEIGHT) {
                let height = HEIGHT.min(last - top);
                let mut sum = Accum::Replace;
                for (piece, right) in products {
                    // The rows below the last are the last again, and nobody looks at what comes out.
                    let of_rows = std::array::from_fn(|at| piece.row(top + at.min(height - 1)));
                    let pairs = right.strip(column);
                    piece.by().multiply(of_rows, pairs, vectors, sum, &mut tile);
                    sum = Accum::Add;
                }
                let y = y.as_mut().submatrix_mut(top, column, height, width);
                put(y, how, &tile, factor);
            }
        }
    }
}

/// Writes a tile, or adds it.
fn put(y: MatMut<'_, f32>, how: Accum, tile: &Tile, factor: f32) {
    for (row, sums) in y.row_iter_mut().zip(tile) {
        let row = row
            .try_as_row_major_mut()
            .expect("values of a row lie side by side")
            .as_slice_mut();
        let pairs = row.iter_mut().zip(sums);
        match how {
            Accum::Replace => pairs.for_each(|(value, sum)| *value = factor * sum),
            Accum::Add => pairs.for_each(|(value, sum)| *value += factor * sum),
        }
    }
}

/// Sets `y` to `factor a b`, or adds that to it.
///
/// # Shapes
/// `y [rows, columns]`, row after row; `a [rows, inner]`, `b [inner, columns]`.
///
/// # Panics
/// As [`multiply`].
pub fn product(
    mut y: MatMut<'_, f32>,
    how: Accum,
    a: MatRef<'_, f32>,
    b: MatRef<'_, f32>,
    factor: f32,
) {
    assert!(
        a.ncols() == b.nrows() && y.ncols() == b.ncols(),
        "the output has {} columns, the factors are [{}, {}] and [{}, {}]",
        y.ncols(),
        a.nrows(),
        a.ncols(),
        b.nrows(),
        b.ncols(),
    );
    if a.ncols() == 0 && matches!(how, Accum::Replace) {
        return y.fill(0.0);
    }
    let left = Left::new(a);
    let mut right = Right::default();
    for start in (0..y.ncols()).step_by(COLUMNS) {
        let width = COLUMNS.min(y.ncols() - start);
        let mut y = y.as_mut().subcols_mut(start, width);
        for block in left.blocks() {
            right.set(b.submatrix(block.start, start, block.len(), width));
            let how = match (how, block.start) {
                (Accum::Replace, 0) => Accum::Replace,
                _ => Accum::Add,
            };
            let piece = left.piece(0..left.rows(), block);
            multiply(y.as_mut(), how, &[(&piece, &right)], factor);
        }
    }
}
