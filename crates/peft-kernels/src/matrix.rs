//! Matrix products on flex: faer's kernels, with the output cut into blocks that the thread pool shares.
//!
//! Every value is one sum in one order, however the output is cut: results do not depend on the number of threads.

use std::ops::Range;

use burn::backend::flex::{FlexTensor, Layout};
use burn::backend::ops::FloatTensorOps;
use burn::backend::{DType, Flex, TensorMetadata};
use burn::tensor::{Bytes, Shape};
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use peft_bf16::zeros;
use rayon::iter::{IntoParallelIterator, ParallelIterator};

/// Multiplications that are worth a task of their own.
const WORK_PER_TASK: usize = 1 << 20;
/// Outputs at least so wide are cut into columns first: a block's rows of the first factor then stay in the cache.
const WIDE: usize = 256;
/// Blocks begin at multiples of this, which suits every vector width, and are at least so large: thinner ones are multiplied by other
/// kernels, which sum in another order.
pub(crate) const ALIGNMENT: usize = 16;

/// As many rows are few.
pub(crate) const FEW: usize = 8;

/// One block of an output: where its first value is, and how much of it there is.
pub(crate) struct Block<'a> {
    pub(crate) values: MatMut<'a, f32>,
    row: usize,
    column: usize,
}

impl Block<'_> {
    /// The rows of the output that it is.
    pub(crate) fn rows(&self) -> Range<usize> {
        self.row..self.row + self.values.nrows()
    }

    /// The columns of the output that it is.
    pub(crate) fn columns(&self) -> Range<usize> {
        self.column..self.column + self.values.ncols()
    }

    /// Sets the block to its part of `factor a b`, or adds that to it.
    pub(crate) fn multiply(
        &mut self,
        how: Accum,
        a: MatRef<'_, f32>,
        b: MatRef<'_, f32>,
        factor: f32,
    ) {
        let (rows, columns) = (self.values.nrows(), self.values.ncols());
        let a = a.subrows(self.row, rows);
        let b = b.subcols(self.column, columns);
        matmul(self.values.as_mut(), how, a, b, factor, Par::Seq);
    }

    /// Adds a value to every column.
    pub(crate) fn add_to_columns(&mut self, addend: &[f32]) {
        let addend = &addend[self.column..self.column + self.values.ncols()];
        for row in self.values.as_mut().row_iter_mut() {
            if let Some(row) = row.try_as_row_major_mut() {
                let values = row.as_slice_mut();
                values
                    .iter_mut()
                    .zip(addend)
                    .for_each(|(value, add)| *value += add);
            }
        }
    }
}

/// A tensor of rank 2 whose values lie row after row, or column after column; a copy only where they do neither.
pub(crate) fn dense(x: FlexTensor) -> FlexTensor {
    if is_dense(&x) {
        x
    } else {
        crate::flex::contiguous(x)
    }
}

fn is_dense(x: &FlexTensor) -> bool {
    let (layout, shape) = (x.layout(), x.shape());
    let whole = layout.start_offset() == 0 && x.storage::<f32>().len() == shape.num_elements();
    let strides = layout.strides();
    let [rows, columns] = [shape[0] as isize, shape[1] as isize];
    whole && (strides == [columns, 1] || strides == [1, rows])
}

/// The values of a tensor that went through [`dense`].
pub(crate) fn matrix(x: &FlexTensor) -> MatRef<'_, f32> {
    let (values, shape) = (x.storage::<f32>(), x.shape());
    if x.layout().is_contiguous() {
        MatRef::from_row_major_slice(values, shape[0], shape[1])
    } else {
        MatRef::from_row_major_slice(values, shape[1], shape[0]).transpose()
    }
}

/// A tensor of the given values, row after row.
pub(crate) fn tensor(values: Vec<f32>, rows: usize, columns: usize) -> FlexTensor {
    let layout = Layout::contiguous(Shape::from([rows, columns]));
    FlexTensor::new(Bytes::from_elems(values), layout, DType::F32)
}

/// `a b` of shape `[rows of a, columns of b]`.
pub(crate) fn product(a: MatRef<'_, f32>, b: MatRef<'_, f32>) -> FlexTensor {
    scaled_product(a, b, 1.0)
}

/// `factor a b` of shape `[rows of a, columns of b]`; one that is narrow lies column after column, for vectors are as long as its columns
/// then.
pub(crate) fn scaled_product(a: MatRef<'_, f32>, b: MatRef<'_, f32>, factor: f32) -> FlexTensor {
    if b.ncols() < ALIGNMENT && a.nrows() >= WIDE {
        let (a, b) = (b.transpose(), a.transpose());
        return Flex::float_transpose(straight_product(a, b, factor));
    }
    straight_product(a, b, factor)
}

fn straight_product(a: MatRef<'_, f32>, b: MatRef<'_, f32>, factor: f32) -> FlexTensor {
    made(a.nrows(), b.ncols(), a.ncols(), |mut block| {
        block.multiply(Accum::Replace, a, b, factor);
    })
}

/// A new `[rows, columns]`, every block of which `fill` makes; `depth` multiplications make a value.
pub(crate) fn made(
    rows: usize,
    columns: usize,
    depth: usize,
    fill: impl Fn(Block<'_>) + Sync,
) -> FlexTensor {
    let mut values = zeros(rows * columns);
    let work = rows * columns * depth;
    if !values.is_empty() {
        let block = Block {
            values: MatMut::from_row_major_slice_mut(&mut values, rows, columns),
            row: 0,
            column: 0,
        };
        in_blocks(block, parts(work.div_ceil(WORK_PER_TASK)), &fill);
    }
    tensor(values, rows, columns)
}

/// Whether a product may be cut into blocks, which depends on the number of threads too.
pub(crate) fn may_be_cut([rows, columns, depth]: [usize; 3]) -> bool {
    rows * columns * depth > WORK_PER_TASK
}

/// Into how many blocks an output of so many tasks is cut; small ones do not even start the threads.
fn parts(tasks: usize) -> usize {
    if tasks <= 1 {
        return 1;
    }
    match rayon::current_num_threads() {
        1 => 1,
        threads => tasks.min(2 * threads.next_power_of_two()),
    }
}

/// Cuts a block into about `parts` and hands them to the thread pool.
fn in_blocks(block: Block<'_>, parts: usize, fill: &(impl Fn(Block<'_>) + Sync)) {
    let Block {
        values,
        row,
        column,
    } = block;
    let (rows, columns) = (values.nrows(), values.ncols());
    let by_column = columns >= WIDE;
    let length = if by_column { columns } else { rows };
    let at = (length / 2).next_multiple_of(ALIGNMENT);
    if parts <= 1 || at + ALIGNMENT > length {
        return fill(Block {
            values,
            row,
            column,
        });
    }
    let ((first, second), row_of_second, column_of_second) = if by_column {
        (values.split_at_col_mut(at), row, column + at)
    } else {
        (values.split_at_row_mut(at), row + at, column)
    };
    let first = Block {
        values: first,
        row,
        column,
    };
    let second = Block {
        values: second,
        row: row_of_second,
        column: column_of_second,
    };
    rayon::join(
        || in_blocks(first, parts.div_ceil(2), fill),
        || in_blocks(second, parts / 2, fill),
    );
}

/// The sums of the columns of `x`, a fixed number of rows after the other.
pub(crate) fn column_sums(x: MatRef<'_, f32>) -> Vec<f32> {
    const ROWS: usize = 64;
    let blocks = x.nrows().div_ceil(ROWS);
    let parts: Vec<Vec<f32>> = (0..blocks)
        .into_par_iter()
        .map(|at| {
            let rows = ROWS.min(x.nrows() - at * ROWS);
            let mut sums = vec![0.0; x.ncols()];
            for row in x.subrows(at * ROWS, rows).row_iter() {
                sums.iter_mut()
                    .zip(row.iter())
                    .for_each(|(sum, value)| *sum += value);
            }
            sums
        })
        .collect();
    let mut sums = vec![0.0; x.ncols()];
    for part in parts {
        sums.iter_mut()
            .zip(part)
            .for_each(|(sum, value)| *sum += value);
    }
    sums
}
