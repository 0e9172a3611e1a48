//! `adapter_model.bin`: tensors that PyTorch pickled.
//!
//! `pytorch-reader` interprets the pickle; it knows a list of PyTorch's own constructors and runs no code. Before it
//! sees a file, [`survey`] has checked that the file cannot make it use more memory than the file's size warrants.

mod survey;
mod tar_form;
mod walk;
mod zip_form;

use std::collections::BTreeMap;
use std::path::Path;

use half::{bf16, f16};
use pytorch_reader::{DType, PytorchReader, Tensor};

use super::open::check_tensor_file;
use super::tensor::narrow;
use super::{FileError, HostTensor, StoredDtype, TENSOR_FILE, TensorProblem, integers};
use survey::survey;

/// A tensor may share its storage with others, so tensors may hold more than the file; not many times more.
const SHARING: u64 = 4;

/// Longest reason of the reader that is passed on; it quotes what it found, which may be a whole file.
const LONGEST_REASON: usize = 300;

/// Reads every tensor of a PyTorch file (`torch.save` of a state dict) into `f32`.
///
/// # Errors
///
/// A missing or empty file, a Git LFS pointer, a safetensors file under the wrong name, a damaged file, one that
/// claims more than it holds, or every tensor of a dtype that is not read.
pub fn read_pickle(path: &Path) -> Result<BTreeMap<String, HostTensor>, FileError> {
    let (length, start) = check_tensor_file(path)?;
    if start.get(8) == Some(&b'{') && !start.starts_with(b"PK") {
        return Err(FileError::Misnamed {
            path: path.to_owned(),
            found: "safetensors",
            expected: TENSOR_FILE,
        });
    }
    let damaged = |reason: &str| FileError::NotPickle {
        path: path.to_owned(),
        size: length,
        reason: reason.chars().take(LONGEST_REASON).collect(),
    };
    survey(path, length).map_err(|problem| damaged(&problem))?;
    let reader = PytorchReader::new(path).map_err(|error| damaged(&error.to_string()))?;
    let tensors: BTreeMap<String, Tensor> = reader.into_tensors().into_iter().collect();
    let claimed = tensors.values().fold(0_u64, |sum, tensor| {
        sum.saturating_add(tensor.byte_len() as u64)
    });
    if claimed > length.saturating_mul(SHARING) {
        return Err(damaged(&format!(
            "its {} tensors claim {claimed} bytes, which the file cannot hold",
            tensors.len()
        )));
    }
    let mut read = BTreeMap::new();
    let mut problems = Vec::new();
    for (name, tensor) in tensors {
        let Some(stored) = stored_as(tensor.dtype()) else {
            problems.push(TensorProblem::Dtype {
                name,
                dtype: format!("{:?}", tensor.dtype()).to_uppercase(),
            });
            continue;
        };
        let bytes = tensor.read().map_err(|error| damaged(&error.to_string()))?;
        let values = HostTensor {
            shape: tensor.shape().to_vec(),
            data: decode(stored, &bytes),
            stored,
        };
        match values.check_length(&name) {
            Ok(()) => drop(read.insert(name, values)),
            Err(problem) => problems.push(problem),
        }
    }
    FileError::refuse(path, problems)?;
    Ok(read)
}

fn stored_as(dtype: DType) -> Option<StoredDtype> {
    match dtype {
        DType::F64 => Some(StoredDtype::F64),
        DType::F32 => Some(StoredDtype::F32),
        DType::F16 => Some(StoredDtype::F16),
        DType::BF16 => Some(StoredDtype::Bf16),
        DType::I64 => Some(StoredDtype::I64),
        DType::I32 => Some(StoredDtype::I32),
        DType::I16 => Some(StoredDtype::I16),
        DType::I8 => Some(StoredDtype::I8),
        DType::U8 => Some(StoredDtype::U8),
        _ => None,
    }
}

/// The reader gives bytes in the order of this machine.
fn decode(stored: StoredDtype, bytes: &[u8]) -> Vec<f32> {
    match stored {
        StoredDtype::F32 => elements(bytes, f32::from_ne_bytes),
        StoredDtype::F16 => elements(bytes, |raw| f16::from_ne_bytes(raw).to_f32()),
        StoredDtype::Bf16 => elements(bytes, |raw| bf16::from_ne_bytes(raw).to_f32()),
        StoredDtype::F64 => elements(bytes, |raw| narrow(f64::from_ne_bytes(raw))),
        integer if cfg!(target_endian = "little") => integers::decode(integer, bytes),
        integer => {
            let values = bytes.chunks_exact(integer.size());
            let little: Vec<u8> = values.flat_map(|raw| raw.iter().rev().copied()).collect();
            integers::decode(integer, &little)
        }
    }
}

fn elements<const N: usize>(bytes: &[u8], decode: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    let (values, _rest) = bytes.as_chunks::<N>();
    values.iter().map(|raw| decode(*raw)).collect()
}
