//! A model folder written as a GGUF file.

use std::path::Path;

use peft_core::file::input::{TOKENIZER_LIMIT, read_plain, read_plain_text};
use peft_gguf::GgmlType;
use peft_gguf::export::{HfFiles, ModelFile};
use peft_gguf::hf::names;
use serde_json::{Map, Value};

use super::archive::TensorArchive;
use super::config::ModelConfig;
use super::dtype::FloatDtype;
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
    let tensors = Tensors::of(&archive, &config, &file)?;
    let shapes = tensors.0.iter();
    file.declare(shapes.map(|tensor| (tensor.name.as_str(), tensor.shape.as_slice())))?;
    file.write(out, |name| {
        let found = tensors.0.iter().find(|tensor| tensor.name == name);
        let entry = found.and_then(|tensor| archive.entry(&tensor.in_folder));
        match (found, entry) {
            (Some(tensor), Some(entry)) => archive.read_f32(entry, tensor.dtype),
            _ => Ok(Vec::new()),
        }
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
    let tokenizer: Value = json(&dir.join(TOKENIZER[0]))?;
    let about = dir.join(TOKENIZER[1]);
    let about: Map<String, Value> = match about.exists() {
        true => json(&about)?,
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

fn json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, ModelError> {
    let text = read_plain_text(path, TOKENIZER_LIMIT).map_err(ModelError::io(path, "reading"))?;
    serde_json::from_str(&text).map_err(|source| ModelError::Json {
        path: path.to_path_buf(),
        source,
    })
}

/// A tensor of the folder.
struct Tensor {
    /// Its name in the class with an output layer.
    name: String,
    in_folder: String,
    shape: Vec<u64>,
    dtype: FloatDtype,
}

/// The parameters of a language model.
struct Tensors(Vec<Tensor>);

impl Tensors {
    /// Those of a folder, without buffers and without an output layer that is the table.
    fn of(
        archive: &TensorArchive,
        config: &ModelConfig,
        file: &ModelFile,
    ) -> Result<Self, ModelError> {
        let prefix = DecoderFamily::of(config)?.prefix;
        let tied = config.bool_or("tie_word_embeddings", false)?;
        let mut tensors = Vec::new();
        let mut problems = WeightProblems::default();
        for (in_folder, entry) in archive.entries() {
            let full = format!("{prefix}.{in_folder}");
            let names = [in_folder.to_owned(), full];
            let known = names
                .into_iter()
                .find(|name| names::to_gguf(file.architecture(), name).is_some());
            let name = match known {
                Some(name) if !(tied && name == OUTPUT) => name,
                Some(_) => continue,
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
            tensors.push(Tensor {
                name,
                in_folder: in_folder.to_owned(),
                shape: entry.shape().iter().map(|size| *size as u64).collect(),
                dtype,
            });
        }
        if problems.is_empty() {
            return Ok(Self(tensors));
        }
        Err(ModelError::Weights {
            dir: archive.dir().to_path_buf(),
            problems: Box::new(problems),
        })
    }
}
