//! What can be wrong with blocks, and with values that are to become blocks.

use crate::GgmlType;

/// Why blocks could not be read or made.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BlockError {
    /// A format that is not read or written here.
    #[error(
        "{kind} cannot be {what} here, only {}; convert the file with llama.cpp's llama-quantize",
        supported.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(", ")
    )]
    Unsupported {
        /// The format.
        kind: GgmlType,
        /// What was to happen.
        what: &'static str,
        /// The formats with which it can.
        supported: Vec<GgmlType>,
    },
    /// Bytes and values that do not belong together.
    #[error(
        "{bytes} bytes of {kind} and {values} values: a block of {} bytes holds {} values",
        kind.block_bytes(), kind.block_values()
    )]
    Length {
        /// The format.
        kind: GgmlType,
        /// Bytes given.
        bytes: usize,
        /// Room for values given.
        values: usize,
    },
    /// Values that do not fill whole blocks.
    #[error("{values} values do not fill blocks of {kind}, which hold {} each", kind.block_values())]
    Partial {
        /// The format.
        kind: GgmlType,
        /// Values given.
        values: usize,
    },
    /// NaN or an infinity, which no block can hold without spoiling its other values.
    #[error("value {index} is {value}: only finite values can be stored as {kind}")]
    NotFinite {
        /// The format.
        kind: GgmlType,
        /// Position of the first such value.
        index: usize,
        /// The value.
        value: f32,
    },
    /// Finite values for which the format has no number.
    #[error("value {index}, {value}, is too large for {kind}; store the tensor as F32")]
    TooLarge {
        /// The format.
        kind: GgmlType,
        /// Position of the largest value of the block.
        index: usize,
        /// The value.
        value: f32,
    },
}
