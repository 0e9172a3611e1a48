//! A GGUF file as a model folder: what transformers keep in files of their own is written beside a link to the file.

use std::fs;
use std::path::{Path, PathBuf};

use peft_core::file::{disk, write_atomic};
use peft_gguf::hf::HfTensors;
use peft_gguf::tokenizer;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::error::ModelError;

/// Changes with what is written, so that nothing that an earlier version wrote is used.
const VERSION: &str = "1";

/// The folder below `cache` that holds what a GGUF file says in the files of a model folder: `config.json`, `tokenizer.json`,
/// `tokenizer_config.json` with the chat template, `generation_config.json`, and a link to the file. It is made where it is not there; a
/// file that has changed since has another one.
///
/// # Errors
/// [`ModelError::Gguf`] for a file that is none, an architecture or a tokenizer that is not known; [`ModelError::Io`].
pub fn unfold(path: &Path, cache: &Path) -> Result<PathBuf, ModelError> {
    let path = fs::canonicalize(path).map_err(ModelError::io(path, "resolving"))?;
    let folder = cache.join("gguf").join(key(&path)?);
    if !folder.join("config.json").is_file() {
        unfold_into(&path, &folder)?;
    }
    Ok(folder)
}

/// The same in a folder of the caller's.
///
/// # Errors
/// As [`unfold`].
pub fn unfold_into(path: &Path, folder: &Path) -> Result<(), ModelError> {
    let path = fs::canonicalize(path).map_err(ModelError::io(path, "resolving"))?;
    let model = HfTensors::open(&path)?;
    let config = model.config()?;
    let metadata = model.model().metadata();
    let failed = |source| ModelError::GgufTokenizer {
        path: path.clone(),
        source,
    };
    let of_tokenizer = tokenizer::tokenizer_json(metadata).map_err(failed)?;
    let about_tokenizer = tokenizer::tokenizer_config(metadata).map_err(failed)?;
    let generation = tokenizer::generation_config(metadata).map_err(failed)?;

    disk::create_dir_all(folder).map_err(ModelError::io(folder, "creating"))?;
    let link = folder.join(path.file_name().unwrap_or_default());
    disk::link(&path, &link).map_err(ModelError::io(&link, "linking"))?;
    write(folder, "tokenizer.json", &of_tokenizer)?;
    write(folder, "tokenizer_config.json", &object(about_tokenizer))?;
    write(folder, "generation_config.json", &object(generation))?;
    // The last, by which the folder is known to be whole.
    write(folder, "config.json", &object(config))
}

/// What tells this state of a file from every other.
fn key(path: &Path) -> Result<String, ModelError> {
    let failed = || ModelError::io(path, "looking at");
    let about = fs::metadata(path).map_err(failed())?;
    let changed = about.modified().map_err(failed())?;
    let state = format!("{VERSION} {} {} {changed:?}", path.display(), about.len());
    let digest = Sha256::digest(state.as_bytes());
    Ok(digest
        .iter()
        .take(12)
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

fn object(fields: Map<String, Value>) -> Value {
    Value::Object(fields)
}

fn write(folder: &Path, name: &str, content: &Value) -> Result<(), ModelError> {
    let text = format!("{content:#}\n");
    Ok(write_atomic(&folder.join(name), text.as_bytes())?)
}
