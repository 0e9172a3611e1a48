//! Products with packed weights on flex, tile by tile.

use std::ops::Range;

use burn::backend::DispatchTensor;
use burn::backend::flex::FlexTensor;
use burn::tensor::Tensor;
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par, Scale};
use peft_bf16::Left;

use super::few;
use super::tile::{OF_THREAD, Tile, how, pieces};
use super::values::Values;
use super::{Factor, PackedRows, PackedWeight};
use crate::bf16::First;
use crate::compute::Compute;
use crate::flex::lend;
use crate::fused::{Fuse, Kernels};
use crate::matrix::{ALIGNMENT, Block, FEW, dense, made, matrix, may_be_cut};

/// Values of a tile: half a megabyte, which stays in a core's cache.
const TILE: usize = 128 * 1024;
/// Inner values of one product of a tile. Fixed, so that sums have one order however the output is cut.
const DEPTH: usize = 2048;
/// Rows of a tile that are summed over. Fixed for the same reason.
const HEIGHT: usize = 128;

/// The second factor of a product on flex, and how it is multiplied by.
#[derive(Debug, Clone)]
pub(crate) struct Operand {
    weight: Weight,
    compute: Compute,
}

#[derive(Debug, Clone)]
enum Weight {
    Dense(FlexTensor),
    Packed(PackedWeight),
}

impl Operand {
    /// The packed weight where there is one, else the tensor; multiplied by as this thread does now.
    pub(crate) fn new(weight: FlexTensor, packed: Option<PackedWeight>) -> Self {
        let weight = match packed {
            Some(packed) => Weight::Packed(packed),
            None => Weight::Dense(dense(weight)),
        };
        let compute = Compute::current();
        Self { weight, compute }
    }

    /// What a block multiplies by.
    pub(crate) fn factor(&self) -> BlockFactor<'_> {
        let values = match &self.weight {
            Weight::Dense(weight) => Values::Dense(matrix(weight)),
            Weight::Packed(weight) => Values::Packed(weight.clone()),
        };
        BlockFactor {
            values,
            compute: self.compute,
        }
    }
}

/// The second factor of a block's product, `[inner, columns]`.
#[derive(Debug, Clone)]
pub(crate) struct BlockFactor<'a> {
    pub(crate) values: Values<'a>,
    pub(crate) compute: Compute,
}

impl BlockFactor<'_> {
    pub(crate) fn ncols(&self) -> usize {
        self.values.ncols()
    }

    /// As [`Values::depth`].
    pub(crate) fn depth(&self, rows: usize) -> usize {
        self.values.depth(rows)
    }

    pub(crate) fn transpose(self) -> Self {
        let values = self.values.transpose();
        Self { values, ..self }
    }

    /// What is multiplied by the factor, prepared for all blocks.
    pub(crate) fn first<'a>(&self, a: MatRef<'a, f32>) -> First<'a> {
        First::new(a, self.compute, self.ncols())
    }

    /// The same of the input of a layer.
    pub(crate) fn first_of<'a>(&self, x: &'a FlexTensor) -> First<'a> {
        First::of_input(x, self.compute, self.ncols())
    }

    /// `a` times the factor.
    pub(crate) fn times(&self, a: MatRef<'_, f32>) -> FlexTensor {
        let (depth, first) = (self.depth(a.nrows()), self.first(a));
        made(a.nrows(), self.ncols(), depth, |mut block| {
            block.multiply_by(&first, self);
        })
    }
}

/// With few rows and so few inner values a block may have so few multiplications (4096) that faer takes other kernels for it, which round
/// differently.
const SHALLOW: usize = 64;

/// A narrow product `scale a b` that is added to one with a factor.
pub(crate) struct Beside<'a> {
    a: MatRef<'a, f32>,
    b: MatRef<'a, f32>,
    scale: f32,
    /// `scale a`, rounded where the other product's first factor is.
    rounded: Option<Left>,
}

impl<'a> Beside<'a> {
    pub(crate) fn new(
        first: &First<'_>,
        a: MatRef<'a, f32>,
        b: MatRef<'a, f32>,
        scale: f32,
    ) -> Self {
        let is_rounded = first.rounded.is_some() && a.ncols() <= peft_bf16::DEPTH;
        let rounded = is_rounded.then(|| Left::new((a * Scale(scale)).as_ref()));
        Self {
            a,
            b,
            scale,
            rounded,
        }
    }
}

impl Block<'_> {
    /// Sets the block to its part of `a` times the factor, and of what is beside it.
    pub(crate) fn multiply_by_both(
        &mut self,
        a: &First<'_>,
        factor: &BlockFactor<'_>,
        beside: &Beside<'_>,
    ) {
        if let (Some(left), Some(narrow)) = (&a.rounded, &beside.rounded) {
            return self.multiply_rounded(left, &factor.values, Some((narrow, beside.b)));
        }
        self.multiply_by(a, factor);
        self.add_beside(factor, beside);
    }

    /// Where few rows are cut, blocks are small, and what is added to them is summed in an order of its own, which does not depend on their
    /// size.
    fn add_beside(&mut self, factor: &BlockFactor<'_>, Beside { a, b, scale, .. }: &Beside<'_>) {
        let rows = a.nrows();
        let whole = [rows, factor.ncols(), factor.depth(rows)];
        if !may_be_cut(whole) || rows > FEW || a.ncols() > SHALLOW {
            return self.multiply(Accum::Add, *a, *b, *scale);
        }
        let a = a.subrows(self.rows().start, self.values.nrows());
        let columns = self.columns();
        let b = b.subcols(columns.start, columns.len());
        few::add_shallow(self.values.as_mut(), a, b, *scale);
    }

    /// Sets the block to its part of `a` times the factor.
    pub(crate) fn multiply_by(&mut self, a: &First<'_>, factor: &BlockFactor<'_>) {
        if let Some(left) = &a.rounded {
            return self.multiply_rounded(left, &factor.values, None);
        }
        let a = a.values;
        match &factor.values {
            Values::Dense(b) => self.multiply(Accum::Replace, a, *b, 1.0),
            Values::Packed(weight) => {
                let columns = self.columns();
                let few = a.nrows() <= FEW; // of the whole product: how it is cut is no part of a result
                let a = a.subrows(self.rows().start, self.values.nrows());
                let ((rows, of_outputs), y) = (weight.stored(), self.values.as_mut());
                lend(&OF_THREAD, |tile| match (of_outputs, few) {
                    (true, true) => few::by_outputs(y, columns, a, rows, tile),
                    (true, false) => by_outputs(y, columns, a, rows, tile),
                    (false, true) => few::by_inputs(y, columns, a, rows, tile),
                    (false, false) => by_inputs(y, columns, a, rows, tile),
                });
            }
        }
    }
}

/// `y = a P^T`, where the columns of `y` are some rows of `P`.
fn by_outputs(
    mut y: MatMut<'_, f32>,
    columns: Range<usize>,
    a: MatRef<'_, f32>,
    packed: &dyn PackedRows,
    tile: &mut Tile,
) {
    let [_, inner] = packed.dims();
    let depth = DEPTH.next_multiple_of(packed.block());
    let height = (TILE / inner.clamp(1, depth)).max(ALIGNMENT);
    for rows in pieces(columns.clone(), height) {
        let mut y = y
            .as_mut()
            .subcols_mut(rows.start - columns.start, rows.len());
        if inner == 0 {
            y.fill(0.0);
        }
        for start in (0..inner).step_by(depth) {
            let piece = start..(start + depth).min(inner);
            let a = a.subcols(start, piece.len());
            let tile = tile.unpack(packed, rows.clone(), piece);
            matmul(y.as_mut(), how(start), a, tile.transpose(), 1.0, Par::Seq);
        }
    }
}

/// `y = a P`, where the columns of `y` are some columns of `P`.
fn by_inputs(
    mut y: MatMut<'_, f32>,
    columns: Range<usize>,
    a: MatRef<'_, f32>,
    packed: &dyn PackedRows,
    tile: &mut Tile,
) {
    let [inner, _] = packed.dims();
    let width = (TILE / HEIGHT).next_multiple_of(packed.block());
    for strip in pieces(columns.clone(), width) {
        let mut y = y
            .as_mut()
            .subcols_mut(strip.start - columns.start, strip.len());
        if inner == 0 {
            y.fill(0.0);
        }
        for start in (0..inner).step_by(HEIGHT) {
            let rows = start..(start + HEIGHT).min(inner);
            let a = a.subcols(start, rows.len());
            let tile = tile.unpack(packed, rows, strip.clone());
            matmul(y.as_mut(), how(start), a, tile, 1.0, Par::Seq);
        }
    }
}

/// A packed weight fits everywhere; it is no tensor.
impl Fuse for Factor {
    type Dispatch = (Option<DispatchTensor>, Option<PackedWeight>);

    fn try_fuse(self, kernels: Kernels) -> Result<Self::Dispatch, Self> {
        match self {
            Self::Packed(packed) => Ok((None, Some(packed))),
            Self::Dense(weight) => match weight.try_fuse(kernels) {
                Ok(weight) => Ok((Some(weight), None)),
                Err(weight) => Err(Self::Dense(weight)),
            },
        }
    }

    fn unfuse((weight, packed): Self::Dispatch) -> Self {
        match (weight, packed) {
            (_, Some(packed)) => Self::Packed(packed),
            (Some(weight), None) => Self::Dense(Tensor::unfuse(weight)),
            (None, None) => unreachable!("a factor is a tensor or packed"),
        }
    }
}
