//! Reading an adapter folder.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::foreign::foreign;
use super::input::CONFIG_LIMIT;
use super::integers::quantised;
use super::merged_linear::merged_linear;
use super::open::open;
use super::spelling::in_one_spelling;
use super::without_config::explain;
use super::{
    CONFIG_FILE, FileError, HostTensor, NonFinite, PICKLE_FILE, PeftConfig, TENSOR_FILE,
    read_pickle, read_tensors, require_finished,
};

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
    FileError::refuse(&tensor_file, problems)?;
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
    require_finished(folder)?;
    let path = folder.join(CONFIG_FILE);
    let hint = "an adapter folder holds adapter_config.json and adapter_model.safetensors";
    let (mut file, size) = open(&path, hint).map_err(|error| match error {
        FileError::Missing { .. } => explain(folder).unwrap_or(error),
        other => other,
    })?;
    if size > CONFIG_LIMIT.get() {
        return Err(FileError::TooLarge {
            path,
            size,
            limit: CONFIG_LIMIT,
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
