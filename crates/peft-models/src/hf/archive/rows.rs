//! Matrices of a folder as they are stored.

use std::sync::Arc;

use peft_core::PackedRows;
use peft_gguf::{GgmlType, PackedTensor};
use safetensors::tensor::Dtype;

use super::{Place, TensorArchive, TensorEntry};
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
            Place::Gguf(name) => each(&self.unpacked(name)?),
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

    /// A matrix as it is stored, where that is not f32 or f64.
    ///
    /// # Errors
    /// [`ModelError::Io`], [`ModelError::Gguf`].
    pub(crate) fn packed(&self, entry: &TensorEntry) -> Result<Option<Rows>, ModelError> {
        match (&entry.place, &self.gguf) {
            (Place::Gguf(name), Some(gguf)) => gguf.packed(name),
            (Place::Gguf(_), None) => Ok(None),
            (Place::File { .. }, _) => {
                let kind = match entry.dtype {
                    Dtype::BF16 => GgmlType::BF16,
                    Dtype::F16 => GgmlType::F16,
                    _ => return Ok(None),
                };
                let shape: Vec<u64> = entry.shape.iter().map(|size| *size as u64).collect();
                let bytes = self.read(entry)?;
                let tensor = PackedTensor::new(kind, &shape, bytes.into()).ok();
                let blocks = tensor.and_then(|tensor| Blocks::new(tensor, None));
                Ok(blocks.map(|blocks| Rows {
                    rows: Arc::new(blocks),
                    turned: false,
                }))
            }
        }
    }
}
