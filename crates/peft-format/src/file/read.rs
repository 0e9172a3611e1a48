//! Reading an adapter folder.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use safetensors::SafeTensors;

use super::foreign::foreign;
use super::integers::quantised;
use super::merged_linear::merged_linear;
use super::spelling::in_one_spelling;
use super::without_config::explain;
use super::{
    CONFIG_FILE, FileError, HostTensor, NonFinite, PICKLE_FILE, PeftConfig, TENSOR_FILE,
    read_pickle,
};

const LFS_START: &[u8] = b"version https://git-lfs";
const ZIP_START: &[u8] = b"PK\x03\x04";

/// Largest config file that is read; published ones have a few kilobytes.
const MAX_CONFIG: u64 = 8 << 20;

/// An adapter folder in memory.
#[derive(Clone, Debug)]
pub struct AdapterFolder {
    /// `adapter_config.json`.
    pub config: PeftConfig,
    /// The tensors by raw key, as the file has them; a saved module that it has under several names is here once.
    pub tensors: BTreeMap<String, HostTensor>,
    /// The file that the tensors came from.
    pub tensor_file: PathBuf,
}

/// Reads an adapter folder: `adapter_config.json` and `adapter_model.safetensors` or, if that is absent,
/// `adapter_model.bin`.
///
/// # Errors
///
/// A missing or malformed file; see [`read_config`], [`read_tensors`] and [`read_pickle`].
pub fn read_folder(folder: &Path) -> Result<AdapterFolder, FileError> {
    let mut config = read_config(folder)?;
    let (tensor_file, tensors) = read_folder_tensors(folder)?;
    let tensors = in_one_spelling(tensors)?;
    config.add_implied_heads(tensors.keys().map(String::as_str));
    config.add_implied_targets(tensors.keys().map(String::as_str));
    let mut problems = merged_linear(&tensors);
    let stored = tensors.iter();
    problems.extend(quantised(
        stored.map(|(name, tensor)| (name.as_str(), tensor.stored)),
    ));
    if !problems.is_empty() {
        return Err(FileError::BadTensors {
            path: tensor_file,
            problems,
        });
    }
    Ok(AdapterFolder {
        config,
        tensors,
        tensor_file,
    })
}

/// Reads `adapter_config.json` of an adapter folder.
///
/// # Errors
///
/// A missing file (with what the folder holds instead, if that can be told), broken JSON, or every field of the
/// wrong type.
pub fn read_config(folder: &Path) -> Result<PeftConfig, FileError> {
    let path = folder.join(CONFIG_FILE);
    let hint = "an adapter folder holds adapter_config.json and adapter_model.safetensors";
    let (mut file, size) = open(&path, hint).map_err(|error| match error {
        FileError::Missing { .. } => explain(folder).unwrap_or(error),
        other => other,
    })?;
    if size > MAX_CONFIG {
        return Err(FileError::TooLarge {
            path,
            size,
            limit: MAX_CONFIG,
        });
    }
    if let Some(found) = foreign(folder) {
        return Err(found.into());
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)
        .map_err(FileError::io("read", &path))?;
    PeftConfig::parse(&bytes, &path)
}

/// Reads the tensors of an adapter folder and says which file they came from: `adapter_model.safetensors`, or
/// `adapter_model.bin` where only that exists.
///
/// # Errors
///
/// See [`read_tensors`] and [`read_pickle`].
pub fn read_folder_tensors(
    folder: &Path,
) -> Result<(PathBuf, BTreeMap<String, HostTensor>), FileError> {
    let path = folder.join(TENSOR_FILE);
    let pickle = folder.join(PICKLE_FILE);
    if !path.exists() && pickle.exists() {
        let tensors = read_pickle(&pickle)?;
        return Ok((pickle, tensors));
    }
    let tensors = read_tensors(&path)?;
    Ok((path, tensors))
}

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
    if problems.is_empty() {
        Ok(tensors)
    } else {
        Err(FileError::BadTensors {
            path: path.to_owned(),
            problems,
        })
    }
}

/// Size and first bytes of a file that should hold tensors.
pub(super) fn check_tensor_file(path: &Path) -> Result<(u64, Vec<u8>), FileError> {
    const START: u64 = 256;
    let (file, size) = open(path, "the tensors of the adapter belong there")?;
    let mut start = Vec::new();
    file.take(START)
        .read_to_end(&mut start)
        .map_err(FileError::io("read", path))?;
    if start.is_empty() {
        return Err(FileError::Empty {
            path: path.to_owned(),
        });
    }
    if start.starts_with(LFS_START) {
        return Err(FileError::LfsPointer {
            path: path.to_owned(),
            size: lfs_size(&start),
        });
    }
    Ok((size, start))
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

/// Opens a plain file. A device or a pipe under the name of a file would be read without end.
fn open(path: &Path, hint: &'static str) -> Result<(File, u64), FileError> {
    let metadata = fs::metadata(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => FileError::Missing {
            path: path.to_owned(),
            hint,
        },
        _ => FileError::io("read", path)(source),
    })?;
    if !metadata.is_file() {
        let source = io::Error::new(io::ErrorKind::InvalidInput, "it is no plain file");
        return Err(FileError::io("read", path)(source));
    }
    let file = File::open(path).map_err(FileError::io("open", path))?;
    Ok((file, metadata.len()))
}

/// The `size N` line of a Git LFS pointer.
fn lfs_size(bytes: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(bytes).ok()?;
    text.lines()
        .find_map(|line| line.strip_prefix("size "))
        .and_then(|size| size.trim().parse().ok())
}
