//! What a file says of one tensor.

use crate::GgmlType;

/// The name, shape, format and place of a tensor.
///
/// ggml writes down the number of values along each dimension from the innermost on (`ne`); shapes here are in the order of PyTorch,
/// outermost first. A linear layer's weight with `ne = [columns, rows]` has the shape `[rows, columns]`, which is `[d_out, d_in]`, and its
/// bytes are the rows one behind the other: the orientation is PyTorch's in both, and nothing is transposed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    pub(crate) name: String,
    pub(crate) shape: Vec<u64>,
    pub(crate) kind: GgmlType,
    /// From the beginning of the data.
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
}

impl TensorInfo {
    /// The name, such as `blk.0.attn_q.weight`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The shape in PyTorch's order, outermost dimension first; empty for a single value.
    #[must_use]
    pub fn shape(&self) -> &[u64] {
        &self.shape
    }

    /// The format.
    #[must_use]
    pub fn kind(&self) -> GgmlType {
        self.kind
    }

    /// Bytes of the tensor.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Values of a row, the innermost dimension.
    #[must_use]
    pub fn columns(&self) -> u64 {
        self.shape.last().copied().unwrap_or(1)
    }

    /// The number of rows, the product of all dimensions but the innermost.
    #[must_use]
    pub fn rows(&self) -> u64 {
        let outer = self.shape.split_last().map_or(&[][..], |(_, outer)| outer);
        outer.iter().product()
    }

    /// Bytes of a row. Rows are whole blocks.
    #[must_use]
    pub fn row_bytes(&self) -> u64 {
        self.bytes / self.rows().max(1)
    }
}
