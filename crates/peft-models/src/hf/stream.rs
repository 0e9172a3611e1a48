//! Writes a safetensors file tensor by tensor, atomically.

use std::collections::HashMap;
use std::path::Path;

use peft_core::file::Staged;
use safetensors::tensor::{Dtype, Metadata, TensorInfo};

use crate::error::ModelError;

/// One tensor of a file that is to be written.
#[derive(Debug, Clone)]
pub(crate) struct Planned {
    /// Name in the file.
    pub(crate) name: String,
    /// Element type in the file.
    pub(crate) dtype: Dtype,
    /// Shape in the file.
    pub(crate) shape: Vec<usize>,
}

/// Writes `tensors`; `bytes` is asked for the content of each, one at a time.
///
/// The file appears under its name only when it is complete and on the disk.
pub(crate) fn stage_safetensors(
    path: &Path,
    mut tensors: Vec<Planned>,
    mut bytes: impl FnMut(&Planned) -> Result<Vec<u8>, ModelError>,
) -> Result<Staged, ModelError> {
    // Wide types first keeps every tensor aligned, as the safetensors library does.
    tensors.sort_by(|left, right| {
        right
            .dtype
            .cmp(&left.dtype)
            .then_with(|| left.name.cmp(&right.name))
    });
    let header = header(path, &tensors)?;
    Staged::new(path, |out| {
        out.write(&(header.len() as u64).to_le_bytes())?;
        out.write(&header)?;
        for tensor in &tensors {
            out.write(&bytes(tensor)?)?;
        }
        Ok(())
    })
}

/// The JSON header, padded so that the data starts at a multiple of eight.
fn header(path: &Path, tensors: &[Planned]) -> Result<Vec<u8>, ModelError> {
    let damaged = |reason: String| ModelError::Safetensors {
        path: path.to_path_buf(),
        reason,
    };
    let mut offset = 0;
    let infos = tensors.iter().map(|tensor| {
        let start = offset;
        offset += tensor.shape.iter().product::<usize>() * tensor.dtype.bitsize() / 8;
        let info = TensorInfo {
            dtype: tensor.dtype,
            shape: tensor.shape.clone(),
            data_offsets: (start, offset),
        };
        (tensor.name.clone(), info)
    });
    let format = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let metadata =
        Metadata::new(Some(format), infos.collect()).map_err(|error| damaged(error.to_string()))?;
    let mut header = serde_json::to_vec(&metadata).map_err(|error| damaged(error.to_string()))?;
    header.resize(header.len().next_multiple_of(8), b' ');
    Ok(header)
}
