//! The weights of a GGUF file under the names and in the shapes of transformers.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use peft_gguf::GgmlType;
use peft_gguf::hf::{HfTensor, HfTensors, Layout};
use safetensors::tensor::Dtype;

use super::{Place, Rows, TensorEntry};
use crate::error::ModelError;
use crate::packed::Blocks;

/// The end of a GGUF file's name.
const EXTENSION: &str = "gguf";

/// A GGUF file, or all shards of one.
#[derive(Debug)]
pub(super) struct GgufWeights(HfTensors);

impl GgufWeights {
    /// The GGUF file of a folder; of several the first by name, which all shards of one lead to.
    pub(super) fn file_in(dir: &Path) -> Option<PathBuf> {
        let entries = fs::read_dir(dir).ok()?;
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let is_gguf = |path: &PathBuf| path.extension().is_some_and(|end| end == EXTENSION);
        paths.filter(is_gguf).min()
    }

    /// Opens the file, which may be a link to one that lies beside its other shards.
    pub(super) fn open(path: &Path) -> Result<Self, ModelError> {
        let path = fs::canonicalize(path).map_err(ModelError::io(path, "resolving"))?;
        Ok(Self(HfTensors::open(&path)?))
    }

    /// Its tensors as transformers have them.
    pub(super) fn tensors(&self) -> &HfTensors {
        &self.0
    }

    /// Every tensor, as one of F32.
    pub(super) fn entries(&self) -> BTreeMap<String, TensorEntry> {
        let size = |size: &u64| usize::try_from(*size).unwrap_or(usize::MAX);
        let entry = |tensor: &HfTensor| {
            let shape: Vec<usize> = tensor.shape().iter().map(size).collect();
            let entry = TensorEntry {
                place: Place::Gguf(tensor.name().to_owned()),
                bytes: shape.iter().fold(4, |all, size| all.saturating_mul(*size)),
                dtype: Dtype::F32,
                shape,
            };
            (tensor.name().to_owned(), entry)
        };
        self.0.iter().map(entry).collect()
    }

    /// The format of a matrix in the file; `None` where that is f32, or no matrix in a format that is read.
    pub(super) fn block_format(&self, name: &str) -> Option<GgmlType> {
        let tensor = self.0.get(name).ok()?;
        let [_, _] = tensor.shape() else { return None };
        let kind = tensor.kind();
        let is_plain = matches!(kind, GgmlType::F32 | GgmlType::F64);
        (turned(tensor).is_some() && !is_plain && kind.can_dequantise()).then_some(kind)
    }

    /// A matrix as the file has it, where it has a [`Self::block_format`].
    pub(super) fn packed(&self, name: &str) -> Result<Option<Rows>, ModelError> {
        let Some(turned) = turned(self.0.get(name)?) else {
            return Ok(None);
        };
        let order = self.0.row_order(name)?;
        let size = |row: u64| usize::try_from(row).unwrap_or(usize::MAX);
        let order = order.map(|order| order.into_iter().map(size).collect());
        let blocks = Blocks::new(self.0.packed(name)?, order);
        Ok(blocks.map(|blocks| Rows {
            rows: Arc::new(blocks),
            turned,
        }))
    }

    /// The values of a tensor.
    pub(super) fn values(&self, name: &str) -> Result<Vec<f32>, ModelError> {
        Ok(self.0.values(name)?)
    }
}

/// Whether the rows of a tensor are the columns of transformers' matrix; `None` where they are neither these nor its rows.
fn turned(tensor: &HfTensor) -> Option<bool> {
    match tensor.layout() {
        Layout::Same | Layout::Rotary { .. } => Some(false),
        Layout::Transposed => Some(true),
        _ => None,
    }
}
