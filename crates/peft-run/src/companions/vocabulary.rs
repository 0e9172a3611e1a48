//! How many tokens a model has rows for, with the table that an adapter brings.

use std::path::{Path, PathBuf};

use peft_core::file::{TENSOR_FILE, TensorFile, parse_key, read_folder_tensors};
use peft_models::{ModelConfig, word_table};

use crate::Result;
use crate::open::{VOCABULARY, ends_in};

/// Rows of the model's word table, or of the one that an adapter brings in its place: a vocabulary was resized in its training.
///
/// # Errors
/// A configuration without a number of tokens. An adapter that cannot be read is refused where it is opened.
pub(super) fn rows(config: &ModelConfig, adapters: &[PathBuf]) -> Result<usize> {
    let own = config.positive(VOCABULARY)?;
    let Some(table) = word_table(config.model_type()) else {
        return Ok(own);
    };
    let mut brought = adapters
        .iter()
        .filter_map(|adapter| rows_of(adapter, table));
    Ok(brought.next_back().unwrap_or(own))
}

/// Rows of the whole table in an adapter folder, if it has one.
fn rows_of(adapter: &Path, table: &str) -> Option<usize> {
    // The table, or the frozen one below an adapted table.
    let is_table = |raw: &str| {
        parse_key(raw, &[]).is_some_and(|key| {
            let module = &key.module;
            let module = module.strip_suffix(".base_layer").unwrap_or(module);
            key.tensor == "weight" && ends_in(module, table)
        })
    };
    let path = adapter.join(TENSOR_FILE);
    if let Ok(file) = TensorFile::open(&path) {
        let names = file.names();
        let name = names.iter().find(|name| is_table(name))?;
        return file.shape(name)?.first().copied();
    }
    let (_, tensors) = read_folder_tensors(adapter).ok()?;
    let (_, tensor) = tensors.iter().find(|(name, _)| is_table(name))?;
    tensor.shape.first().copied()
}
