//! A checkpoint of loralib, as it is reported where an adapter was expected.

use std::path::PathBuf;

use super::{CONFIG_FILE, PICKLE_FILE};

/// A checkpoint of the library loralib: tensors `P.lora_A` and `P.lora_B` and no config.
#[derive(Debug, thiserror::Error)]
#[error(
    "{} is a loralib checkpoint ({layers} adapted layers, keys end in lora_A and lora_B) and has no config: rename it to \
     {PICKLE_FILE} and put {CONFIG_FILE} beside it, for example {example}, with the lora_alpha of the training (the \
     update is lora_alpha / r times B A)",
    path.display()
)]
pub struct Loralib {
    /// The checkpoint.
    pub path: PathBuf,
    /// Number of layers with a pair.
    pub layers: usize,
    /// A config that fits the tensors, as JSON; alpha is a guess.
    pub example: String,
}
