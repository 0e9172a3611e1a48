//! Reading an adapter folder.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use safetensors::SafeTensors;

use super::{CONFIG_FILE, FileError, HostTensor, NonFinite, PICKLE_FILE, PeftConfig, TENSOR_FILE};

const LFS_START: &[u8] = b"version https://git-lfs";
const ZIP_START: &[u8] = b"PK\x03\x04";

/// An adapter folder in memory.
#[derive(Clone, Debug)]
pub struct AdapterFolder {
    /// `adapter_config.json`.
    pub config: PeftConfig,
    /// `adapter_model.safetensors` by raw key, as the file has them.
    pub tensors: BTreeMap<String, HostTensor>,
}

/// Reads an adapter folder: `adapter_config.json` and `adapter_model.safetensors`.
///
/// # Errors
///
/// A missing or malformed file; see [`read_config`] and [`read_tensors`].
pub fn read_folder(folder: &Path) -> Result<AdapterFolder, FileError> {
    let config = read_config(folder)?;
    let path = folder.join(TENSOR_FILE);
    let pickle = folder.join(PICKLE_FILE);
    if !path.exists() && pickle.exists() {
        return Err(FileError::Pickle { path: pickle });
    }
    Ok(AdapterFolder {
        config,
        tensors: read_tensors(&path)?,
    })
}

/// Reads `adapter_config.json` of an adapter folder.
///
/// # Errors
///
/// A missing file, broken JSON, or every field of the wrong type.
pub fn read_config(folder: &Path) -> Result<PeftConfig, FileError> {
    let path = folder.join(CONFIG_FILE);
    let bytes = read_bytes(
        &path,
        "an adapter folder holds adapter_config.json and adapter_model.safetensors",
    )?;
    PeftConfig::parse(&bytes, &path)
}

/// Reads every tensor of a safetensors file into `f32`.
///
/// # Errors
///
/// A missing or empty file, a Git LFS pointer, a pickle, a damaged header, or every tensor of another dtype.
pub fn read_tensors(path: &Path) -> Result<BTreeMap<String, HostTensor>, FileError> {
    let bytes = read_bytes(path, "the tensors of the adapter belong there")?;
    if bytes.is_empty() {
        return Err(FileError::Empty {
            path: path.to_owned(),
        });
    }
    if bytes.starts_with(LFS_START) {
        return Err(FileError::LfsPointer {
            path: path.to_owned(),
            size: lfs_size(&bytes),
        });
    }
    if bytes.starts_with(ZIP_START) {
        return Err(FileError::Pickle {
            path: path.to_owned(),
        });
    }
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
    if problems.is_empty() {
        Ok(tensors)
    } else {
        Err(FileError::BadTensors {
            path: path.to_owned(),
            problems,
        })
    }
}

/// Finds NaN and infinite values.
///
/// # Errors
///
/// [`FileError::NonFinite`] with every tensor that has some.
pub fn check_finite(tensors: &BTreeMap<String, HostTensor>) -> Result<(), FileError> {
    let bad: Vec<NonFinite> = tensors
        .iter()
        .filter_map(|(name, tensor)| non_finite(name, &tensor.data))
        .collect();
    if bad.is_empty() {
        Ok(())
    } else {
        Err(FileError::NonFinite { tensors: bad })
    }
}

fn non_finite(name: &str, data: &[f32]) -> Option<NonFinite> {
    let first = data.iter().position(|value| !value.is_finite())?;
    let nan = data.iter().filter(|value| value.is_nan()).count();
    let infinite = data.iter().filter(|value| value.is_infinite()).count();
    Some(NonFinite {
        name: name.to_owned(),
        nan,
        infinite,
        first,
    })
}

fn read_bytes(path: &Path, hint: &'static str) -> Result<Vec<u8>, FileError> {
    fs::read(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => FileError::Missing {
            path: path.to_owned(),
            hint,
        },
        _ => FileError::Io {
            action: "read",
            path: path.to_owned(),
            source,
        },
    })
}

/// The `size N` line of a Git LFS pointer.
fn lfs_size(bytes: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(bytes).ok()?;
    text.lines()
        .find_map(|line| line.strip_prefix("size "))
        .and_then(|size| size.trim().parse().ok())
}
