//! A tensor in memory as its file has it: packed, with the values of rows and tiles when they are needed.

use std::ops::Range;
use std::sync::Arc;

use crate::GgmlType;
use crate::block::{BlockError, dequantise};

/// Rows of blocks, shared by all clones.
#[derive(Clone, Debug, PartialEq)]
pub struct PackedTensor {
    kind: GgmlType,
    shape: Vec<u64>,
    columns: usize,
    row_bytes: usize,
    bytes: Arc<[u8]>,
}

/// Why bytes are no packed tensor, or what was asked of one is not there.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PackedError {
    /// Rows that are not whole blocks, or another number of bytes than the shape needs.
    #[error("{found} bytes are not a {kind} tensor of the shape {shape:?}, which needs {}", expected.map_or("rows of whole blocks".to_owned(), |bytes| bytes.to_string()))]
    Shape {
        /// The format.
        kind: GgmlType,
        /// The shape, outermost dimension first.
        shape: Vec<u64>,
        /// Bytes that it needs; `None` where rows are not whole blocks, or too large.
        expected: Option<u64>,
        /// Bytes given.
        found: usize,
    },
    /// A tile that is not inside, or whose columns are not whole blocks.
    #[error(
        "rows {rows:?} and columns {columns:?} are not whole blocks of a {kind} tensor of the shape {shape:?}"
    )]
    Tile {
        /// The format.
        kind: GgmlType,
        /// The shape, outermost dimension first.
        shape: Vec<u64>,
        /// The rows that were asked for.
        rows: Range<usize>,
        /// The columns that were asked for.
        columns: Range<usize>,
    },
    /// The blocks cannot be read, or the room is not that of the values.
    #[error(transparent)]
    Block(#[from] BlockError),
}

impl PackedTensor {
    /// A tensor of the shape, outermost dimension first, that these bytes hold.
    ///
    /// # Errors
    ///
    /// [`PackedError::Shape`].
    pub fn new(kind: GgmlType, shape: &[u64], bytes: Arc<[u8]>) -> Result<Self, PackedError> {
        let columns = shape.last().copied().unwrap_or(1);
        let rows = shape
            .iter()
            .rev()
            .skip(1)
            .try_fold(1_u64, |product, length| product.checked_mul(*length));
        let row_bytes = kind.bytes(columns);
        let expected = row_bytes
            .zip(rows)
            .and_then(|(row, rows)| row.checked_mul(rows));
        let sizes = (usize::try_from(columns).ok())
            .zip(row_bytes.and_then(|bytes| usize::try_from(bytes).ok()));
        match sizes {
            Some((columns, row_bytes)) if expected == Some(bytes.len() as u64) => Ok(Self {
                kind,
                shape: shape.to_owned(),
                columns,
                row_bytes,
                bytes,
            }),
            _ => Err(PackedError::Shape {
                kind,
                shape: shape.to_owned(),
                expected,
                found: bytes.len(),
            }),
        }
    }

    /// The format.
    #[must_use]
    pub fn kind(&self) -> GgmlType {
        self.kind
    }

    /// The shape in PyTorch's order, outermost dimension first: `[rows, columns]` of a weight.
    #[must_use]
    pub fn shape(&self) -> &[u64] {
        &self.shape
    }

    /// The number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.bytes.len().checked_div(self.row_bytes).unwrap_or(0)
    }

    /// Values of a row.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Bytes of a row.
    #[must_use]
    pub fn row_bytes(&self) -> usize {
        self.row_bytes
    }

    /// All bytes, row after row.
    #[must_use]
    pub fn bytes(&self) -> &Arc<[u8]> {
        &self.bytes
    }

    /// All values, row after row.
    ///
    /// # Errors
    ///
    /// [`PackedError::Block`] for a format that is not read.
    pub fn values(&self) -> Result<Vec<f32>, PackedError> {
        // No format needs less than an eighth of a byte for a value, so that the bytes warrant the room.
        let mut values = vec![0.0; self.rows() * self.columns];
        dequantise(self.kind, &self.bytes, &mut values)?;
        Ok(values)
    }

    /// The values of rows, row after row.
    ///
    /// # Errors
    ///
    /// [`PackedError::Tile`] for rows that are not there, and [`PackedError::Block`] where `out` has not room for exactly these values or
    /// the format is not read.
    pub fn dequantise_rows(&self, rows: Range<usize>, out: &mut [f32]) -> Result<(), PackedError> {
        let bytes =
            (rows.start.checked_mul(self.row_bytes)).zip(rows.end.checked_mul(self.row_bytes));
        let Some(bytes) = bytes.and_then(|(start, end)| self.bytes.get(start..end)) else {
            return Err(self.no_tile(rows, 0..self.columns));
        };
        Ok(dequantise(self.kind, bytes, out)?)
    }

    /// The values of a tile, row after row. Its columns are whole blocks.
    ///
    /// # Errors
    ///
    /// As [`dequantise_rows`](Self::dequantise_rows), and [`PackedError::Tile`] for columns that are not there or cut a block.
    pub fn dequantise_tile(
        &self,
        rows: Range<usize>,
        columns: Range<usize>,
        out: &mut [f32],
    ) -> Result<(), PackedError> {
        let bytes_of = |columns: usize| usize::try_from(self.kind.bytes(columns as u64)?).ok();
        let places = bytes_of(columns.start).zip(bytes_of(columns.end));
        let inside = columns.start <= columns.end
            && columns.end <= self.columns
            && rows.start <= rows.end
            && rows.end <= self.rows();
        let Some((start, end)) = places.filter(|_| inside) else {
            return Err(self.no_tile(rows, columns));
        };
        let width = columns.len();
        if Some(out.len()) != rows.len().checked_mul(width) {
            return Err(PackedError::Block(BlockError::Length {
                kind: self.kind,
                bytes: rows.len() * (end - start),
                values: out.len(),
            }));
        }
        if width == 0 {
            return Ok(());
        }
        let bytes = self.bytes.chunks_exact(self.row_bytes).skip(rows.start);
        for (row, out) in bytes.zip(out.chunks_exact_mut(width)) {
            dequantise(self.kind, &row[start..end], out)?;
        }
        Ok(())
    }

    fn no_tile(&self, rows: Range<usize>, columns: Range<usize>) -> PackedError {
        PackedError::Tile {
            kind: self.kind,
            shape: self.shape.clone(),
            rows,
            columns,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::quantise;

    fn packed() -> PackedTensor {
        let values: Vec<f32> = (0..4 * 96).map(|at| (at % 37) as f32 - 18.0).collect();
        let mut bytes = Vec::new();
        quantise(GgmlType::Q8_0, &values, &mut bytes).unwrap();
        PackedTensor::new(GgmlType::Q8_0, &[2, 2, 96], bytes.into()).unwrap()
    }

    #[test]
    fn rows_and_tiles_are_parts_of_all_values() {
        let packed = packed();
        let all = packed.values().unwrap();
        assert_eq!(
            (packed.rows(), packed.columns(), packed.row_bytes()),
            (4, 96, 102)
        );
        let mut rows = vec![0.0; 2 * 96];
        packed.dequantise_rows(1..3, &mut rows).unwrap();
        assert_eq!(rows, all[96..3 * 96]);
        let mut tile = vec![0.0; 2 * 32];
        packed.dequantise_tile(2..4, 32..64, &mut tile).unwrap();
        assert_eq!(tile[..32], all[2 * 96 + 32..2 * 96 + 64]);
        assert_eq!(tile[32..], all[3 * 96 + 32..3 * 96 + 64]);
        packed.dequantise_tile(4..4, 0..96, &mut []).unwrap();
        packed.dequantise_tile(0..4, 96..96, &mut []).unwrap();
    }

    #[test]
    #[expect(clippy::reversed_empty_ranges, reason = "a caller may ask for one")]
    fn what_is_not_there_is_an_error() {
        let packed = packed();
        let mut out = vec![0.0; 96];
        for rows in [4..5, 3..2, 0..usize::MAX] {
            assert!(packed.dequantise_rows(rows, &mut out).is_err());
        }
        for columns in [0..16, 16..48, 96..128, 64..32, 0..usize::MAX] {
            assert!(packed.dequantise_tile(0..1, columns, &mut out).is_err());
        }
        assert!(packed.dequantise_tile(0..2, 0..96, &mut out).is_err());
        let short: Arc<[u8]> = [0; 33].into();
        assert!(PackedTensor::new(GgmlType::Q8_0, &[1, 32], short.clone()).is_err());
        assert!(
            PackedTensor::new(GgmlType::Q8_0, &[u64::MAX, u64::MAX, 32], short.clone()).is_err()
        );
        assert!(PackedTensor::new(GgmlType::Q8_0, &[1, 33], short).is_err());
        let empty = PackedTensor::new(GgmlType::F32, &[3, 0], [].into()).unwrap();
        assert_eq!((empty.rows(), empty.values().unwrap().len()), (0, 0));
    }
}
