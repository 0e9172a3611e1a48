//! A safetensors file as a whole: every tensor, decoded.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use safetensors::SafeTensors;

use super::open::check_tensor_file;
use super::{FileError, HostTensor, PICKLE_FILE};

const ZIP_START: &[u8] = b"PK\x03\x04";

/// Reads every tensor of a safetensors file into `f32`.
///
/// # Errors
///
/// A missing or empty file, a Git LFS pointer, a pickle, a damaged header, or every tensor of another dtype.
pub fn read_tensors(path: &Path) -> Result<BTreeMap<String, HostTensor>, FileError> {
    let (_, start) = check_tensor_file(path)?;
    if start.starts_with(ZIP_START) {
        return Err(FileError::Misnamed {
            path: path.to_owned(),
            found: "PyTorch",
            expected: PICKLE_FILE,
        });
    }
    let bytes = fs::read(path).map_err(FileError::io("read", path))?;
    let file = SafeTensors::deserialize(&bytes).map_err(|source| FileError::NotSafetensors {
        path: path.to_owned(),
        size: bytes.len(),
        start: String::from_utf8_lossy(&bytes[..bytes.len().min(16)]).into_owned(),
        source,
    })?;
    let mut tensors = BTreeMap::new();
    let mut problems = Vec::new();
    for (name, view) in file.iter() {
        match HostTensor::decode(name, &view) {
            Ok(tensor) => drop(tensors.insert(name.to_owned(), tensor)),
            Err(problem) => problems.push(problem),
        }
    }
    FileError::refuse(path, problems)?;
    Ok(tensors)
}
