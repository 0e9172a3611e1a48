//! The tensors of a GGUF model under the names, in the shapes and with the values of transformers.

use std::path::Path;

use indexmap::IndexMap;
use serde_json::{Map, Value};

use super::keys::Keys;
use super::{Architecture, HfError, Layout, LayoutError, names, sizes};
use crate::near::near;
use crate::{GgmlType, GgufModel, PackedTensor, TensorInfo};

/// A tensor as transformers have it, with what the file says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HfTensor {
    name: String,
    shape: Vec<u64>,
    layout: Layout,
    info: TensorInfo,
}

impl HfTensor {
    /// The name in transformers, such as `model.layers.0.self_attn.q_proj.weight`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The shape in transformers, outermost dimension first.
    #[must_use]
    pub fn shape(&self) -> &[u64] {
        &self.shape
    }

    /// The block format.
    #[must_use]
    pub fn kind(&self) -> GgmlType {
        self.info.kind()
    }

    /// How the values of the file stand to those of transformers.
    #[must_use]
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// The tensor of the file.
    #[must_use]
    pub fn info(&self) -> &TensorInfo {
        &self.info
    }
}

/// All parameters of a model, opened.
#[derive(Clone, Debug)]
pub struct HfTensors {
    model: GgufModel,
    architecture: Architecture,
    /// Heads of queries, and of keys and values.
    heads: (u64, u64),
    tensors: IndexMap<String, HfTensor>,
    ignored: Vec<String>,
}

impl HfTensors {
    /// Opens a model in one file or several.
    ///
    /// # Errors
    ///
    /// As [`GgufModel::open`] and [`HfTensors::new`].
    pub fn open(path: &Path) -> Result<Self, HfError> {
        Self::new(GgufModel::open(path)?)
    }

    /// The parameters of a model. Nothing is read beside the headers.
    ///
    /// # Errors
    ///
    /// [`HfError::Architecture`]; [`HfError::UnknownTensor`] for a tensor that models of the architecture do not have, of experts for
    /// example; [`HfError::Layout`] for queries and keys that are not whole heads and a transposed
    /// tensor that is no matrix; [`HfError::Gguf`] where the numbers of heads or blocks
    /// are missing.
    pub fn new(model: GgufModel) -> Result<Self, HfError> {
        let architecture = Architecture::of(&model)?;
        let keys = Keys::new(&model, architecture);
        let blocks = keys.size("block_count")?;
        let heads = keys.size("attention.head_count")?;
        let kv_heads = sizes::kv_heads(keys, heads)?;
        let (mut tensors, mut ignored) = (IndexMap::new(), Vec::new());
        for info in model.tensors() {
            if names::is_computed(info.name()) {
                ignored.push(info.name().to_owned());
                continue;
            }
            let exists = names::block_of(info.name()).is_none_or(|block| block < blocks);
            let name = names::to_hf(architecture, info.name()).filter(|_| exists);
            let name = name.ok_or_else(|| HfError::UnknownTensor {
                path: model.path().to_owned(),
                name: info.name().to_owned(),
                architecture,
                blocks,
            })?;
            let layout = Layout::of(architecture, info.name(), heads, kv_heads);
            layout
                .check(info.shape())
                .map_err(no_layout(&model, info))?;
            let tensor = HfTensor {
                name: name.clone(),
                shape: layout.shape(info.shape()),
                layout,
                info: info.clone(),
            };
            tensors.insert(name, tensor);
        }
        Ok(Self {
            model,
            architecture,
            heads: (heads, kv_heads),
            tensors,
            ignored,
        })
    }

    /// The model in the terms of its files.
    #[must_use]
    pub fn model(&self) -> &GgufModel {
        &self.model
    }

    /// The architecture.
    #[must_use]
    pub fn architecture(&self) -> Architecture {
        self.architecture
    }

    /// The number of heads of queries, and of keys and values.
    #[must_use]
    pub fn heads(&self) -> (u64, u64) {
        self.heads
    }

    /// The fields of `config.json`.
    ///
    /// # Errors
    ///
    /// As [`config`](super::config()).
    pub fn config(&self) -> Result<Map<String, Value>, HfError> {
        super::config(&self.model)
    }

    /// The parameters in the order of the files.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &HfTensor> {
        self.tensors.values()
    }

    /// Tensors of the files that are no parameters, by their names there: tables of rotary frequencies.
    #[must_use]
    pub fn ignored(&self) -> &[String] {
        &self.ignored
    }

    /// A parameter by its name in transformers.
    ///
    /// # Errors
    ///
    /// [`HfError::NoTensor`].
    pub fn get(&self, name: &str) -> Result<&HfTensor, HfError> {
        self.tensors.get(name).ok_or_else(|| HfError::NoTensor {
            path: self.model.path().to_owned(),
            name: name.to_owned(),
            near: near(name, self.tensors.keys().map(String::as_str)),
        })
    }

    /// The values of a parameter as transformers have them, in the order of its shape.
    ///
    /// # Errors
    ///
    /// [`HfError::NoTensor`], and [`HfError::Gguf`] where it cannot be read, or its block format not.
    pub fn values(&self, name: &str) -> Result<Vec<f32>, HfError> {
        let tensor = self.get(name)?;
        let values = self.model.values(tensor.info.name())?;
        tensor
            .layout
            .to_hf(values, tensor.info.shape())
            .map_err(no_layout(&self.model, &tensor.info))
    }

    /// The parameter packed as the file has it. What stands between it and transformers is its [`HfTensor::layout`].
    ///
    /// # Errors
    ///
    /// [`HfError::NoTensor`], and [`HfError::Gguf`] where it cannot be read.
    pub fn packed(&self, name: &str) -> Result<PackedTensor, HfError> {
        Ok(self.model.read(self.get(name)?.info.name())?)
    }

    /// Where the rows of a parameter lie in the file: row `i` (along the first dimension) is row `order[i]` of the packed tensor. `None`
    /// where rows are in place, and for a tensor whose values move otherwise ([`Layout::Transposed`]).
    ///
    /// # Errors
    ///
    /// [`HfError::NoTensor`].
    pub fn row_order(&self, name: &str) -> Result<Option<Vec<u64>>, HfError> {
        let tensor = self.get(name)?;
        tensor
            .layout
            .row_order(tensor.info.shape())
            .map_err(no_layout(&self.model, &tensor.info))
    }
}

fn no_layout(model: &GgufModel, info: &TensorInfo) -> impl FnOnce(LayoutError) -> HfError {
    let (path, name) = (model.path().to_owned(), info.name().to_owned());
    move |source| HfError::Layout { path, name, source }
}
