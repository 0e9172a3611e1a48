//! Matrices of a folder as they are stored.

use std::iter::repeat_n;
use std::sync::Arc;

use peft_core::PackedRows;
use peft_gguf::{GgmlType, PackedTensor};
use safetensors::tensor::Dtype;

use super::{PIECE, Place, TensorArchive, TensorEntry};
use crate::error::ModelError;
use crate::hf::dtype::FloatDtype;
use crate::packed::Blocks;

/// A matrix as it is stored.
#[derive(Debug)]
pub(crate) struct Rows {
    /// Its rows.
    pub(crate) rows: Arc<dyn PackedRows>,
    /// Whether they are the columns of the matrix that the folder has under the name.
    pub(crate) turned: bool,
}

impl Rows {
    /// Rows of the matrix itself.
    pub(crate) fn in_place(rows: Arc<dyn PackedRows>) -> Self {
        Self {
            rows,
            turned: false,
        }
    }
}

impl TensorArchive {
    /// The values of a tensor, some at a time: a multiple of every block's, but for the last ones.
    ///
    /// # Errors
    /// [`ModelError::Io`], [`ModelError::Gguf`], and what `each` returns.
    pub(crate) fn each_values(
        &self,
        entry: &TensorEntry,
        dtype: FloatDtype,
        mut each: impl FnMut(&[f32]) -> Result<(), ModelError>,
    ) -> Result<(), ModelError> {
        match &entry.place {
            Place::Gguf(name) => match self.packed(entry)? {
                Some(Rows {
                    rows,
                    turned: false,
                }) => each_rows(&*rows, each),
                _ => each(&self.unpacked(name)?),
            },
            Place::File { file, offset } => {
                let mut values = Vec::new();
                self.each_piece(*file, *offset, entry.bytes, |bytes| {
                    values.clear();
                    values.extend(dtype.decode(bytes));
                    each(&values)
                })
            }
        }
    }

    /// The block format of a matrix as it is stored, where that is not f32 or f64; the header says it.
    pub(crate) fn block_format(&self, entry: &TensorEntry) -> Option<GgmlType> {
        match (&entry.place, &self.gguf) {
            (Place::Gguf(name), gguf) => gguf.as_ref()?.block_format(name),
            (Place::File { .. }, _) => match entry.dtype {
                Dtype::BF16 => Some(GgmlType::BF16),
                Dtype::F16 => Some(GgmlType::F16),
                _ => None,
            },
        }
    }

    /// A matrix as it is stored, where it has a [`Self::block_format`].
    ///
    /// # Errors
    /// [`ModelError::Io`], [`ModelError::Gguf`].
    pub(crate) fn packed(&self, entry: &TensorEntry) -> Result<Option<Rows>, ModelError> {
        let Some(kind) = self.block_format(entry) else {
            return Ok(None);
        };
        match (&entry.place, &self.gguf) {
            (Place::Gguf(name), Some(gguf)) => gguf.packed(name),
            (Place::Gguf(_), None) => Ok(None),
            (Place::File { file, offset }, _) => {
                let shape: Vec<u64> = entry.shape.iter().map(|size| *size as u64).collect();
                // Shared from the start: sharing bytes later would copy them.
                let mut bytes: Arc<[u8]> = repeat_n(0, entry.bytes).collect();
                self.fill(*file, *offset, Arc::make_mut(&mut bytes))?;
                let tensor = PackedTensor::new(kind, &shape, bytes).ok();
                let blocks = tensor.and_then(|tensor| Blocks::new(tensor, None));
                Ok(blocks.map(|blocks| Rows::in_place(Arc::new(blocks))))
            }
        }
    }
}

/// The values of a packed matrix, some rows at a time.
fn each_rows(
    rows: &dyn PackedRows,
    mut each: impl FnMut(&[f32]) -> Result<(), ModelError>,
) -> Result<(), ModelError> {
    let [height, width] = rows.dims();
    let count = (PIECE / width.max(1)).max(1);
    let mut values = Vec::new();
    for start in (0..height).step_by(count) {
        let piece = start..(start + count).min(height);
        values.resize(piece.len() * width, 0.0);
        rows.unpack(piece, 0..width, &mut values);
        each(&values)?;
    }
    Ok(())
}
