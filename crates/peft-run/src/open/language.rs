//! Opening a language model.

use std::path::Path;

use anyhow::Result;
use burn::tensor::Device;
use peft_models::{CausalLm, Loaded, ModelConfig, load_causal_lm_with};

use super::{add_all, configuration};
use crate::adapter_arg::AdapterArg;

/// Loads a language model; `dropout`, when given, replaces every dropout probability of the base model.
///
/// # Errors
/// When the folder is no model that can be read.
pub fn causal(model: &Path, dropout: Option<f64>, device: &Device) -> Result<Loaded<CausalLm>> {
    let config = configuration(model, dropout)?;
    Ok(load_causal_lm_with(config, model, device)?)
}

/// A language model that answers.
#[derive(Debug)]
pub struct OpenedCausal {
    /// The model; the last adapter is active.
    pub model: CausalLm,
    /// Its configuration.
    pub config: ModelConfig,
    /// Names of the adapters in it.
    pub adapters: Vec<String>,
}

/// Opens a language model with any number of adapter folders.
///
/// # Errors
/// When a folder does not load, or they do not fit each other.
pub fn answering_causal(
    model: &Path,
    adapters: &[AdapterArg],
    device: &Device,
) -> Result<OpenedCausal> {
    let loaded = causal(model, None, device)?;
    let loaded = add_all(loaded, adapters)?;
    Ok(OpenedCausal {
        model: loaded.model,
        config: loaded.config,
        adapters: adapters
            .iter()
            .map(|adapter| adapter.name.clone())
            .collect(),
    })
}
