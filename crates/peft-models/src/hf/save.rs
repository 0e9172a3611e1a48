//! Complete model folders, written tensor by tensor.

mod plan;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use burn::module::Module;
use peft_core::ParamNames;
use peft_core::file::input::{TOKENIZER_LIMIT, read_plain};
use peft_core::file::{HostTensor, disk, together, write_atomic};
use peft_core::values::named_tensors;
use serde_json::{Value, json};

use super::archive::TensorArchive;
use super::config::ModelConfig;
use super::dtype::FloatDtype;
use super::file_names::FileNames;
use super::stream::{Planned, stage_safetensors};
use crate::error::ModelError;
use plan::{Source, plan};

/// Files besides weights and configuration that make a folder usable.
pub const COMPANIONS: [&str; 15] = [
    "chat_template.jinja",
    "additional_chat_templates/tool_use.jinja",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "sentencepiece.bpe.model",
    "spiece.model",
    "tokenizer.model",
    "generation_config.json",
    "preprocessor_config.json",
    "processor_config.json",
];

/// Tensors on the host by Hugging Face name, in Hugging Face orientation.
pub type HostTensors = BTreeMap<String, HostTensor>;

/// Every parameter of `module` that `names` knows, on the host; adapters are not among them.
#[must_use]
pub fn export<M: Module>(module: &M, names: &ParamNames) -> HostTensors {
    named_tensors(module, names, |_| true)
}

/// Writes `dir_out` as a copy of `dir_in` with some tensors replaced or added and `config` as its configuration.
///
/// `replacements` are in Hugging Face names and orientation, with or without the base prefix. When they hold a head,
/// the output is named as the class with that head (base tensors get the prefix) and heads of other tasks are left
/// out. `dtype` converts every float tensor; without it each keeps the type it has in `dir_in`.
///
/// # Errors
/// Equal folders, unreadable or unwritable files, or replacements that do not fit (all listed).
pub fn save_model(
    dir_in: &Path,
    dir_out: &Path,
    config: &ModelConfig,
    replacements: &HostTensors,
    dtype: Option<FloatDtype>,
) -> Result<(), ModelError> {
    disk::create_dir_all(dir_out).map_err(ModelError::io(dir_out, "creating"))?;
    let same = |dir: &Path| fs::canonicalize(dir).map_err(ModelError::io(dir, "resolving"));
    if same(dir_in)? == same(dir_out)? {
        return Err(ModelError::SameFolder {
            dir: dir_in.to_path_buf(),
        });
    }
    let archive = TensorArchive::open(dir_in)?;
    let names = FileNames::of(config)?;
    let output = plan(&archive, &names, replacements, dtype)?;
    let planned = output
        .values()
        .map(|(planned, _)| planned.clone())
        .collect();
    let config = match dtype {
        Some(dtype) => with_dtype(config.clone(), dtype),
        None => config.clone(),
    };
    let weights = stage_safetensors(&dir_out.join("model.safetensors"), planned, |tensor| {
        let (_, source) = &output[&tensor.name];
        content(&archive, tensor, source)
    })?;
    together(dir_out, || {
        weights.commit()?;
        for name in COMPANIONS {
            copy_if_present(&dir_in.join(name), &dir_out.join(name))?;
        }
        write_json(&dir_out.join("config.json"), &config.to_file())
    })
}

/// Writes a folder of F32 weights and a configuration; tokenizer files are the caller's.
///
/// # Errors
/// [`ModelError::File`].
pub fn write_model(
    dir: &Path,
    config: &ModelConfig,
    tensors: &HostTensors,
) -> Result<(), ModelError> {
    disk::create_dir_all(dir).map_err(ModelError::io(dir, "creating"))?;
    let planned = tensors.iter().map(|(name, tensor)| Planned {
        name: name.clone(),
        dtype: FloatDtype::F32.in_file(),
        shape: tensor.shape.clone(),
    });
    let weights = stage_safetensors(
        &dir.join("model.safetensors"),
        planned.collect(),
        |tensor| Ok(FloatDtype::F32.encode(&tensors[&tensor.name].data)),
    )?;
    weights.commit()?;
    let config = with_dtype(config.clone(), FloatDtype::F32);
    write_json(&dir.join("config.json"), &config.to_file())
}

/// The bytes of one tensor in the type that was planned for it.
fn content(
    archive: &TensorArchive,
    planned: &Planned,
    source: &Source<'_>,
) -> Result<Vec<u8>, ModelError> {
    let target = FloatDtype::from_file(planned.dtype);
    let decoded;
    let values = match source {
        Source::Given(values) => *values,
        Source::Base(entry) => match FloatDtype::from_file(entry.dtype()) {
            Some(own) if Some(own) != target => {
                decoded = archive.read_f32(entry, own)?;
                &decoded
            }
            _ => return archive.read(entry),
        },
    };
    let target = target.unwrap_or(FloatDtype::F32);
    match target.first_overflow(values) {
        Some(value) => Err(ModelError::Overflow {
            name: planned.name.clone(),
            value,
            dtype: target.config_name(),
        }),
        None => Ok(target.encode(values)),
    }
}

fn copy_if_present(from: &Path, to: &Path) -> Result<(), ModelError> {
    if !from.is_file() {
        return Ok(());
    }
    let bytes = read_plain(from, TOKENIZER_LIMIT).map_err(ModelError::io(from, "reading"))?;
    if let Some(folder) = to.parent() {
        disk::create_dir_all(folder).map_err(ModelError::io(folder, "creating"))?;
    }
    Ok(write_atomic(to, &bytes)?)
}

/// Sets the element type under the key the file uses already: `dtype` since transformers 4.56, `torch_dtype` before.
fn with_dtype(config: ModelConfig, dtype: FloatDtype) -> ModelConfig {
    let key = if config.raw().contains_key("dtype") {
        "dtype"
    } else {
        "torch_dtype"
    };
    config.with_field(key, json!(dtype.config_name()))
}

fn write_json(path: &Path, value: &Value) -> Result<(), ModelError> {
    Ok(write_atomic(path, format!("{value:#}\n").as_bytes())?)
}
