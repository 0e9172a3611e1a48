//! Writing an adapter folder.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use safetensors::{Dtype, View};
use serde_json::{Map, Value};

use super::config::to_json;
use super::{CONFIG_FILE, FileError, HostTensor, Staged, TENSOR_FILE, write_atomic};

/// Writes `adapter_model.safetensors` and then `adapter_config.json` into an existing folder.
///
/// Both files are complete and on the disk before either gets its name, so that a full disk leaves the folder as it
/// was. The bytes depend on the arguments only.
///
/// # Errors
///
/// [`FileError::BadTensors`] before anything is written, or [`FileError::Io`].
pub fn write_folder(
    folder: &Path,
    config: &Map<String, Value>,
    tensors: &BTreeMap<String, HostTensor>,
) -> Result<(), FileError> {
    let path = folder.join(TENSOR_FILE);
    let bytes = encode_tensors(&path, tensors)?;
    let tensors = Staged::new(&path, |out| out.write(&bytes))?;
    let config = Staged::new(&folder.join(CONFIG_FILE), |out| {
        out.write(to_json(config).as_bytes())
    })?;
    Staged::commit_all([tensors, config])
}

/// Writes a safetensors file atomically, with the metadata `{"format": "pt"}` that PEFT expects.
///
/// # Errors
///
/// See [`encode_tensors`]; or [`FileError::Io`].
pub fn write_tensors(path: &Path, tensors: &BTreeMap<String, HostTensor>) -> Result<(), FileError> {
    write_atomic(path, &encode_tensors(path, tensors)?)
}

/// The bytes of a safetensors file. `path` is used in errors only.
///
/// # Errors
///
/// [`FileError::BadTensors`] with every tensor whose data does not fit its shape or its format.
pub fn encode_tensors(
    path: &Path,
    tensors: &BTreeMap<String, HostTensor>,
) -> Result<Vec<u8>, FileError> {
    let mut encoded = Vec::with_capacity(tensors.len());
    let mut problems = Vec::new();
    for (name, tensor) in tensors {
        match tensor.encode(name) {
            Ok(bytes) => {
                encoded.push((
                    name,
                    Encoded {
                        dtype: tensor.stored.written(),
                        shape: &tensor.shape,
                        bytes,
                    },
                ));
            }
            Err(problem) => problems.push(problem),
        }
    }
    FileError::refuse(path, problems)?;
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    safetensors::serialize(encoded, Some(metadata)).map_err(|source| FileError::Encode {
        path: path.to_owned(),
        source,
    })
}

struct Encoded<'a> {
    dtype: Dtype,
    shape: &'a [usize],
    bytes: Vec<u8>,
}

impl View for Encoded<'_> {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }

    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}
