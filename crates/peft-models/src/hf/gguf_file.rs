//! A model folder written as a GGUF file.

use std::collections::BTreeMap;
use std::path::Path;

use peft_core::file::input::{TOKENIZER_LIMIT, read_plain, read_plain_text};
use peft_gguf::GgmlType;
use peft_gguf::export::{HfFiles, ModelFile};
use peft_gguf::hf::names;
use serde_json::{Map, Value};

use super::archive::{TensorArchive, TensorEntry};
use super::config::ModelConfig;
use super::dtype::FloatDtype;
use super::json::read_json;
use super::spelling::is_leftover;
use crate::decoder_config::DecoderFamily;
use crate::error::{ModelError, UnreadableDtype, WeightProblems};

/// Files that a tokenizer consists of.
const TOKENIZER: [&str; 3] = ["tokenizer.json", "tokenizer_config.json", TEMPLATE];
/// The chat template in a file of its own.
const TEMPLATE: &str = "chat_template.jinja";
/// The output layer, which a tied one has no tensor of its own for.
const OUTPUT: &str = "lm_head.weight";

/// Writes the language model of the folder `dir` as the file `out`, its matrices in the format `matrices`.
///
/// `base` is the folder that the model was made from. Where that is a GGUF file and the tokenizers are the same, its metadata are taken over;
/// else they are made of the folder's own files.
///
/// # Errors
/// [`ModelError::Export`] for whatever a GGUF file cannot say, and as [`TensorArchive::open`].
pub fn write_gguf(
    dir: &Path,
    base: &Path,
    out: &Path,
    matrices: GgmlType,
) -> Result<(), ModelError> {
    let archive = TensorArchive::open(dir)?;
    let config = ModelConfig::read(dir)?;
    let base_archive = TensorArchive::open(base)?;
    let mut file = match base_archive.gguf() {
        Some(gguf) if same_tokenizer(dir, base)? => ModelFile::like(gguf, matrices)?,
        _ => of_folder(dir, &config, matrices)?,
    };
    let tensors = tensors(&archive, &config, &file)?;
    let shapes = tensors.iter();
    file.declare(shapes.map(|(name, tensor)| (name.as_str(), tensor.shape.as_slice())))?;
    file.write(out, |name| {
        let tensor = &tensors[name];
        archive.read_f32(tensor.entry, tensor.dtype)
    })
}

/// Whether both folders have the same files of a tokenizer.
fn same_tokenizer(dir: &Path, base: &Path) -> Result<bool, ModelError> {
    let content = |folder: &Path, name: &str| {
        let path = folder.join(name);
        match path.exists() {
            false => Ok(None),
            true => read_plain(&path, TOKENIZER_LIMIT)
                .map(Some)
                .map_err(ModelError::io(&path, "reading")),
        }
    };
    for name in TOKENIZER {
        if content(dir, name)? != content(base, name)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A file whose metadata are made of those of a folder.
fn of_folder(
    dir: &Path,
    config: &ModelConfig,
    matrices: GgmlType,
) -> Result<ModelFile, ModelError> {
    let tokenizer: Value = read_json(&dir.join(TOKENIZER[0]), TOKENIZER_LIMIT)?;
    let about = dir.join(TOKENIZER[1]);
    let about: Map<String, Value> = match about.exists() {
        true => read_json(&about, TOKENIZER_LIMIT)?,
        false => Map::new(),
    };
    let template = dir.join(TEMPLATE);
    let template = match template.exists() {
        true => {
            let text = read_plain_text(&template, TOKENIZER_LIMIT);
            Some(text.map_err(ModelError::io(&template, "reading"))?)
        }
        false => None,
    };
    Ok(ModelFile::of_folder(
        HfFiles {
            config: config.raw(),
            tokenizer: &tokenizer,
            about_tokenizer: &about,
            template: template.as_deref(),
        },
        matrices,
    )?)
}

/// A tensor of the folder.
struct Tensor<'a> {
    entry: &'a TensorEntry,
    shape: Vec<u64>,
    dtype: FloatDtype,
}

/// The parameters of a language model by their names in the class with an output layer, without buffers and without an output layer that is
/// the table.
fn tensors<'a>(
    archive: &'a TensorArchive,
    config: &ModelConfig,
    file: &ModelFile,
) -> Result<BTreeMap<String, Tensor<'a>>, ModelError> {
    let prefix = DecoderFamily::of(config)?.prefix;
    let tied = config.bool_or("tie_word_embeddings", false)?;
    let mut tensors = BTreeMap::new();
    let mut problems = WeightProblems::default();
    for (in_folder, entry) in archive.entries() {
        let names = [in_folder.to_owned(), format!("{prefix}.{in_folder}")];
        let known = names
            .into_iter()
            .find(|name| names::to_gguf(file.architecture(), name).is_some());
        let name = match known {
            Some(name) if tied && name == OUTPUT => continue,
            Some(name) => name,
            None if is_leftover(in_folder, prefix) => continue,
            None => in_folder.to_owned(),
        };
        let Some(dtype) = FloatDtype::from_file(entry.dtype()) else {
            problems.unreadable.push(UnreadableDtype {
                name,
                dtype: entry.dtype().to_string(),
            });
            continue;
        };
        let shape = entry.shape().iter().map(|size| *size as u64).collect();
        let tensor = Tensor {
            entry,
            shape,
            dtype,
        };
        tensors.insert(name, tensor);
    }
    if problems.is_empty() {
        return Ok(tensors);
    }
    Err(ModelError::Weights {
        dir: archive.dir().to_path_buf(),
        problems: Box::new(problems),
    })
}
