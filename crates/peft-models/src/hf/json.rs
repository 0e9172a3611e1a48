//! JSON files of a model folder.

use std::path::Path;

use peft_core::file::input::{Limit, read_plain_text};
use serde::de::DeserializeOwned;

use crate::error::ModelError;

/// What a file of at most so many bytes says.
pub(super) fn read_json<T: DeserializeOwned>(path: &Path, limit: Limit) -> Result<T, ModelError> {
    let text = read_plain_text(path, limit).map_err(ModelError::io(path, "reading"))?;
    serde_json::from_str(&text).map_err(|source| ModelError::Json {
        path: path.to_path_buf(),
        source,
    })
}
