//! A model folder with another number of tokens, for adapters that were trained with more or fewer.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use peft_core::values::named_tensors;
use peft_core::{Adaptable, param_id};
use peft_models::ModelConfig;
use peft_models::hf::save_model;
use serde::Serialize;

use crate::{Error, Result};
use crate::{any_model, device, open, out_folder};

/// What was done.
#[derive(Debug, Serialize)]
pub struct Resized {
    /// Folder that was written.
    pub out: PathBuf,
    /// Tokens before.
    pub before: usize,
    /// Tokens now.
    pub tokens: usize,
    /// The layers that changed.
    pub layers: Vec<String>,
}

/// Writes the model with so many tokens: surplus rows are dropped, new ones are the mean of the old.
///
/// # Errors
/// A model that cannot be read or has no vocabulary; a folder that holds something, unless `overwrite` is set.
pub fn resize(model: &Path, tokens: usize, out: &Path, overwrite: bool) -> Result<Resized> {
    let config = ModelConfig::read(model)?;
    let device = device::open("auto")?;
    let mut loaded = any_model::open(model, None, 0, &device)?.loaded;
    let layers: Vec<String> = match loaded.model.tied() {
        Some(tied) => vec![tied.table],
        None => loaded.model.vocabulary_layers(),
    };
    if layers.is_empty() {
        return Err(Error::Usage(format!(
            "{} has no vocabulary",
            model.display()
        )));
    }
    let before = config.usize(open::VOCABULARY)?;
    let _claim = out_folder::claim(out, overwrite, out_folder::OVERWRITE)?;
    loaded.model.resize_vocabulary(tokens);
    let ids: HashSet<_> = layers
        .iter()
        .flat_map(|path| ["weight", "bias"].map(|tensor| param_id(&format!("{path}.{tensor}"))))
        .collect();
    let tensors = named_tensors(&loaded.model, &loaded.names, |id| ids.contains(&id));
    let config = config.with_field(open::VOCABULARY, tokens.into());
    save_model(model, out, &config, &tensors, None)?;
    Ok(Resized {
        out: out.to_owned(),
        before,
        tokens,
        layers,
    })
}
