//! Adapter folders that are taken for models.

use std::path::Path;

use peft_core::file::CONFIG_FILE;
use peft_core::file::input::{CONFIG_LIMIT, read_plain};
use serde_json::{Map, Value};

use crate::error::ModelError;

/// Refuses a folder that holds an adapter, with the name of its base; to be asked where a model's own files are missing.
///
/// # Errors
/// [`ModelError::AdapterFolder`].
pub(super) fn refuse_adapter(dir: &Path) -> Result<(), ModelError> {
    let Ok(text) = read_plain(&dir.join(CONFIG_FILE), CONFIG_LIMIT) else {
        return Ok(());
    };
    let fields: Map<String, Value> = serde_json::from_slice(&text).unwrap_or_default();
    // PEFT's name of the field, and mlx-lm's.
    let named = ["base_model_name_or_path", "model"].map(|field| fields.get(field)?.as_str());
    Err(ModelError::AdapterFolder {
        dir: dir.to_path_buf(),
        base: named.into_iter().flatten().next().map(str::to_owned),
    })
}
