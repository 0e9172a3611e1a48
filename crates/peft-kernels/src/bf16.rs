//! Products in bfloat16 on flex, where these are wanted and worth it.

use std::cell::Cell;
use std::ops::Range;
use std::sync::Arc;

use burn::backend::flex::FlexTensor;
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use peft_bf16::{Left, Right};

use crate::compute::Compute;
use crate::flex::lend;
use crate::kept::{is_filled, rounded};
use crate::matrix::{Block, made, matrix, scaled_product};
use crate::packed::tile::{Tile, how, pieces};
use crate::packed::values::Values;

#[cfg(test)]
mod tests;

/// Columns of the second factor that are rounded at a time: with at most 768 rows a third of a megabyte.
const COLUMNS: usize = 192;
/// Rows and columns of an output, and inner values, that are worth rounding the factors, where threads share the output.
pub(crate) const FEWEST: usize = 16;
/// The same within one task, which rounds both factors for itself.
const FEWEST_ALONE: usize = 64;

/// Room for the second factors of a task.
#[derive(Default)]
struct Factors {
    right: Right,
    narrow: Right,
    tile: Tile,
}

thread_local! {
    /// The room of a thread.
    static FACTORS: Cell<Factors> = Cell::default();
}

/// The first factor of a product: its values, and these rounded where the product is computed so.
pub(crate) struct First<'a> {
    pub(crate) values: MatRef<'a, f32>,
    pub(crate) rounded: Option<Arc<Left>>,
}

impl<'a> First<'a> {
    /// Of values that are multiplied once.
    pub(crate) fn new(values: MatRef<'a, f32>, compute: Compute, columns: usize) -> Self {
        let sizes = [values.nrows(), values.ncols(), columns];
        let rounded = is_worth(compute, sizes, FEWEST).then(|| Arc::new(Left::new(values)));
        Self { values, rounded }
    }

    /// Of the input of a layer, which others may read and keep.
    pub(crate) fn of_input(x: &'a FlexTensor, compute: Compute, columns: usize) -> Self {
        let values = matrix(x);
        let sizes = [values.nrows(), values.ncols(), columns];
        match is_worth(compute, sizes, FEWEST) && x.is_contiguous() && is_filled(x) {
            true => Self {
                values,
                rounded: Some(rounded(x)),
            },
            false => Self::new(values, compute, columns),
        }
    }
}

impl First<'_> {
    /// `factor` times a product with few columns, as a low-rank pair's: rounded where the values are.
    pub(crate) fn narrow_product(&self, b: MatRef<'_, f32>, factor: f32) -> FlexTensor {
        let Some(left) = &self.rounded else {
            return scaled_product(self.values, b, factor);
        };
        made(left.rows(), b.ncols(), left.inner(), |mut y| {
            let (rows, columns) = (y.rows(), y.columns());
            lend(&FACTORS, |Factors { right, .. }| {
                for inner in left.blocks() {
                    let how = how(inner.start);
                    right.set(b.submatrix(inner.start, columns.start, inner.len(), columns.len()));
                    let left = left.piece(rows.clone(), inner);
                    peft_bf16::multiply(y.values.as_mut(), how, &[(&left, &*right)], factor);
                }
            });
        })
    }
}

fn is_worth(compute: Compute, sizes: [usize; 3], fewest: usize) -> bool {
    compute == Compute::Bf16 && sizes.into_iter().all(|size| size >= fewest)
}

/// A narrow product that is added to that of a rounded factor: both factors, the second `[rank, columns]` as it is.
pub(crate) type Narrow<'a> = (&'a Left, MatRef<'a, f32>);

impl Block<'_> {
    /// Sets the block to its part of a rounded factor times another.
    pub(crate) fn multiply_rounded(
        &mut self,
        left: &Left,
        factor: &Values<'_>,
        beside: Option<Narrow<'_>>,
    ) {
        lend(&FACTORS, |factors| {
            self.by_strips(left, factor, beside, factors);
        });
    }

    fn by_strips(
        &mut self,
        left: &Left,
        factor: &Values<'_>,
        beside: Option<Narrow<'_>>,
        Factors {
            right,
            narrow,
            tile,
        }: &mut Factors,
    ) {
        let (rows, columns) = (self.rows(), self.columns());
        let block = match factor {
            Values::Dense(_) => 1,
            Values::Packed(weight) => weight.stored().0.block(),
        };
        for strip in pieces(columns.clone(), COLUMNS.next_multiple_of(block)) {
            let at = strip.start - columns.start;
            let mut y = self.values.as_mut().subcols_mut(at, strip.len());
            for inner in left.blocks() {
                let (how, last) = (how(inner.start), inner.end == left.inner());
                right.set(piece(factor, tile, inner.clone(), strip.clone()));
                let left = left.piece(rows.clone(), inner);
                match beside {
                    Some((a, b)) if last => {
                        narrow.set(b.subcols(strip.start, strip.len()));
                        let a = a.piece(rows.clone(), 0..a.inner());
                        let products = [(&left, &*right), (&a, &*narrow)];
                        peft_bf16::multiply(y.as_mut(), how, &products, 1.0);
                    }
                    _ => peft_bf16::multiply(y.as_mut(), how, &[(&left, &*right)], 1.0),
                }
            }
        }
    }
}

/// `factor a x`, where the rows of `x` are summed over.
pub(crate) fn product_with_rounded(a: MatRef<'_, f32>, x: &Left, factor: f32) -> FlexTensor {
    let a = Left::new(a);
    let fill = |mut y: Block<'_>, right: &mut Right| {
        let (rows, columns) = (y.rows(), y.columns());
        for block in x.blocks() {
            let own = columns.start.max(block.start)..columns.end.min(block.end);
            for strip in pieces(own, COLUMNS) {
                let at = strip.start - columns.start;
                let mut y = y.values.as_mut().subcols_mut(at, strip.len());
                let of_block = strip.start - block.start..strip.end - block.start;
                for inner in a.blocks() {
                    right.set_rounded(&x.piece(inner.clone(), block.clone()), of_block.clone());
                    let how = how(inner.start);
                    let a = a.piece(rows.clone(), inner);
                    peft_bf16::multiply(y.as_mut(), how, &[(&a, right)], factor);
                }
            }
        }
    };
    made(a.rows(), x.inner(), x.rows(), |y| {
        lend(&FACTORS, |Factors { right, .. }| fill(y, right));
    })
}

/// Some rows and columns of a second factor, unpacked where it is packed.
fn piece<'a>(
    values: &'a Values<'_>,
    tile: &'a mut Tile,
    inner: Range<usize>,
    columns: Range<usize>,
) -> MatRef<'a, f32> {
    match values {
        Values::Dense(b) => b.submatrix(inner.start, columns.start, inner.len(), columns.len()),
        Values::Packed(weight) => match weight.stored() {
            (rows, true) => tile.unpack(rows, columns, inner).transpose(),
            (rows, false) => tile.unpack(rows, inner, columns),
        },
    }
}

/// Sets `y` to `factor a b`, or adds that to it, on this thread.
pub(crate) fn multiply(
    compute: Compute,
    y: MatMut<'_, f32>,
    how: Accum,
    a: MatRef<'_, f32>,
    b: MatRef<'_, f32>,
    factor: f32,
) {
    match is_worth(compute, [a.nrows(), a.ncols(), b.ncols()], FEWEST_ALONE) {
        true => peft_bf16::product(y, how, a, b, factor),
        false => matmul(y, how, a, b, factor, Par::Seq),
    }
}
