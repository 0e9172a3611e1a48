//! Adapter folders as adapter files of llama.cpp and Ollama.

use std::path::PathBuf;

use peft_core::file::read_config;
use peft_gguf::adapter::{AdapterBase, write_adapter};
use peft_models::ModelConfig;
use serde::Serialize;

use super::{Converting, LORA, Names, to_peft};
use crate::error::Context;
use crate::{Error, Result, out_folder};

/// What was written.
#[derive(Debug, Serialize)]
pub struct GgufResult {
    /// The file.
    pub out: PathBuf,
    /// How many layers are adapted.
    pub modules: usize,
    /// The alpha of the file; llama.cpp scales each pair by it over the rank.
    pub alpha: f64,
    /// Layers whose B holds a part of the scale.
    pub scaled: usize,
    /// Largest error of a layer that became a plain LoRA, `||W' - W - A B||_F / ||W' - W||_F`.
    pub largest_error: f64,
}

/// Writes an adapter of any method as a GGUF file: LoRA and rsLoRA as they are, others as the LoRA that [`to_peft`] makes of them.
///
/// # Errors
/// As [`to_peft`]; what llama.cpp has no place for; a file that is there already.
pub fn to_gguf(asked: &Converting<'_>) -> Result<GgufResult> {
    if asked.out.exists() && !asked.overwrite {
        return Err(Error::Usage(format!(
            "{} exists already; give --overwrite or another --out",
            asked.out.display()
        )));
    }
    let config = ModelConfig::read(asked.model)?;
    let base =
        AdapterBase::of_config(config.raw()).with_context(|| asked.model.display().to_string())?;
    let stored = read_config(asked.adapter)?;
    let is_plain = stored.peft_type == LORA && !stored.use_dora && asked.rank.is_none();
    let (mut largest_error, mut made) = (0.0, None);
    if !is_plain {
        let folder = out_folder::temporary()?;
        let out = folder.path().join("lora");
        let result = to_peft(&Converting {
            out: &out,
            names: Names::File,
            ..*asked
        })?;
        largest_error = result.largest_error;
        made = Some((folder, out));
    }
    let folder = made
        .as_ref()
        .map_or(asked.adapter, |(_, out)| out.as_path());
    let written = write_adapter(folder, base, asked.out)?;
    Ok(GgufResult {
        out: asked.out.to_path_buf(),
        modules: written.sites.len(),
        alpha: written.alpha,
        scaled: written.scaled.len(),
        largest_error,
    })
}
