//! Opening a language model.

use burn::tensor::Device;
use peft_models::{CausalLm, Loaded, ModelConfig, load_causal_lm_with};

use super::{Base, add_all};
use crate::Result;
use crate::adapter_arg::AdapterArg;

/// Loads a language model.
///
/// # Errors
/// When the folder is no model that can be read.
pub fn causal<'a>(base: impl Into<Base<'a>>, device: &Device) -> Result<Loaded<CausalLm>> {
    let base = base.into();
    let config = base.configuration()?;
    Ok(load_causal_lm_with(config, base.dir, device)?)
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
pub fn answering_causal<'a>(
    base: impl Into<Base<'a>>,
    adapters: &[AdapterArg],
    device: &Device,
) -> Result<OpenedCausal> {
    let loaded = causal(base, device)?;
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
