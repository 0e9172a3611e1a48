//! Weights in a block format of ggml, which bf16 and f16 are too.

use std::ops::Range;

use peft_core::PackedRows;
use peft_gguf::PackedTensor;

/// A matrix in a block format.
#[derive(Debug)]
pub(crate) struct Blocks {
    tensor: PackedTensor,
    dims: [usize; 2],
    /// Row `i` is row `order[i]` of the tensor; in place where there is none.
    order: Option<Vec<usize>>,
}

impl Blocks {
    /// A matrix of the rows of a tensor; `None` where it is no matrix, its format is not read, or the order is not one of its rows.
    pub(crate) fn new(tensor: PackedTensor, order: Option<Vec<usize>>) -> Option<Self> {
        let [rows, columns] = *tensor.shape() else {
            return None;
        };
        let dims = [usize::try_from(rows).ok()?, usize::try_from(columns).ok()?];
        let in_range =
            |order: &Vec<usize>| order.len() == dims[0] && order.iter().all(|row| *row < dims[0]);
        let fits = order.as_ref().is_none_or(in_range) && tensor.rows() == dims[0];
        (fits && tensor.kind().can_dequantise()).then_some(Self {
            tensor,
            dims,
            order,
        })
    }

    /// The values of a tile of the tensor. What [`Self::new`] has seen to cannot fail here.
    fn tile(&self, rows: Range<usize>, columns: Range<usize>, values: &mut [f32]) {
        self.tensor
            .dequantise_tile(rows, columns, values)
            .expect("a format that is read, and whole blocks of it");
    }
}

impl PackedRows for Blocks {
    fn dims(&self) -> [usize; 2] {
        self.dims
    }

    fn block(&self) -> usize {
        self.tensor.kind().block_values() as usize
    }

    fn bytes(&self) -> usize {
        self.tensor.bytes().len()
    }

    fn format(&self) -> &'static str {
        self.tensor.kind().name()
    }

    fn unpack(&self, rows: Range<usize>, columns: Range<usize>, values: &mut [f32]) {
        let Some(order) = &self.order else {
            return self.tile(rows, columns, values);
        };
        let width = columns.len().max(1);
        for (row, values) in order[rows].iter().zip(values.chunks_exact_mut(width)) {
            self.tile(*row..*row + 1, columns.clone(), values);
        }
    }
}
