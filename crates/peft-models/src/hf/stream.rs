//! Writes a safetensors file tensor by tensor, atomically.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

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
pub(crate) fn write_safetensors(
    path: &Path,
    mut tensors: Vec<Planned>,
    mut bytes: impl FnMut(&Planned) -> Result<Vec<u8>, ModelError>,
) -> Result<(), ModelError> {
    // Wide types first keeps every tensor aligned, as the safetensors library does.
    tensors.sort_by(|left, right| {
        right
            .dtype
            .cmp(&left.dtype)
            .then_with(|| left.name.cmp(&right.name))
    });
    let header = header(path, &tensors)?;
    write_file(path, |out| {
        out.write_all(&(header.len() as u64).to_le_bytes())
            .map_err(ModelError::io(path, "writing"))?;
        out.write_all(&header)
            .map_err(ModelError::io(path, "writing"))?;
        for tensor in &tensors {
            out.write_all(&bytes(tensor)?)
                .map_err(ModelError::io(path, "writing"))?;
        }
        Ok(())
    })
}

/// Writes a file through a temporary one in the same folder, synced before it gets its name.
pub(crate) fn write_file(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<&File>) -> Result<(), ModelError>,
) -> Result<(), ModelError> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".peft-").suffix(".tmp");
    #[cfg(unix)]
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    #[cfg(unix)]
    builder.permissions(permissions);
    let temporary = builder
        .tempfile_in(folder)
        .map_err(ModelError::io(folder, "creating a temporary file in"))?;
    {
        let mut out = BufWriter::with_capacity(1 << 20, temporary.as_file());
        fill(&mut out)?;
        out.flush().map_err(ModelError::io(path, "writing"))?;
    }
    temporary
        .as_file()
        .sync_all()
        .map_err(ModelError::io(path, "syncing"))?;
    temporary
        .persist(path)
        .map_err(|error| ModelError::io(path, "renaming to")(error.error))?;
    Ok(())
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
