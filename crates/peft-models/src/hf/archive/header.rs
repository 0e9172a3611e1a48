//! The header of a safetensors file.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use safetensors::tensor::Metadata;

use crate::error::ModelError;

/// Longest header accepted, as in the safetensors library.
const MAX_HEADER: u64 = 100_000_000;

/// The header of a safetensors file and the position of the first data byte; checks the length of the file.
pub(super) fn read_header(path: &Path, file: &mut File) -> Result<(Metadata, u64), ModelError> {
    let damaged = |reason: String| ModelError::Safetensors {
        path: path.to_path_buf(),
        reason,
    };
    let length = file
        .metadata()
        .map_err(ModelError::io(path, "reading the length of"))?
        .len();
    let mut size = [0; 8];
    if length < 8 {
        return Err(damaged(format!("{length} bytes are too few for a header")));
    }
    file.read_exact(&mut size)
        .map_err(ModelError::io(path, "reading the header of"))?;
    if size == *b"version " {
        return Err(damaged(
            "it is a Git LFS pointer, not the file itself; fetch it with `git lfs pull`".into(),
        ));
    }
    let size = u64::from_le_bytes(size);
    if size > MAX_HEADER.min(length - 8) {
        return Err(damaged(format!(
            "the header claims {size} bytes, the file has {length}"
        )));
    }
    let mut header = Vec::new();
    Read::take(&mut *file, size)
        .read_to_end(&mut header)
        .map_err(ModelError::io(path, "reading the header of"))?;
    let metadata: Metadata =
        serde_json::from_slice(&header).map_err(|error| damaged(format!("header: {error}")))?;
    let data_start = 8 + size;
    let expected = data_start + metadata.data_len() as u64;
    if expected != length {
        return Err(damaged(format!(
            "the header describes {expected} bytes, the file has {length}"
        )));
    }
    Ok((metadata, data_start))
}
