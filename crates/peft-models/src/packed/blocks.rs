//! Weights in a block format of ggml, which bf16 and f16 are too.

use std::ops::Range;

use peft_core::PackedRows;
use peft_gguf::PackedTensor;
use peft_gguf::block::dequantise;

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

    /// The values of columns of one row. What [`Self::new`] has seen to cannot fail here.
    fn unpack_row(&self, row: usize, columns: &Range<usize>, values: &mut [f32]) {
        let row = self.order.as_ref().map_or(row, |order| order[row]);
        let kind = self.tensor.kind();
        let bytes_of =
            |columns: usize| columns / kind.block_values() as usize * kind.block_bytes() as usize;
        let start = row * self.tensor.row_bytes();
        let bytes = start + bytes_of(columns.start)..start + bytes_of(columns.end);
        dequantise(kind, &self.tensor.bytes()[bytes], values)
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
        for (row, values) in rows.zip(values.chunks_exact_mut(columns.len().max(1))) {
            self.unpack_row(row, &columns, values);
        }
    }
}
