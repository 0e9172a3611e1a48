//! An encoder family as data: its names, and how its configuration is read.

use crate::encoder_config::EncoderConfig;
use crate::error::ModelError;
use crate::hf::ModelConfig;
use crate::layers::{Activation, BlockNames, EmbeddingNames};

/// A sequence classification head: first token, dense layer, nonlinearity, output layer.
#[derive(Debug, Clone, Copy)]
pub struct HeadNames {
    /// Path of the dense layer.
    pub dense: &'static str,
    /// Path of the output layer.
    pub output: &'static str,
    /// Between the two.
    pub activation: Activation,
    /// Whether dropout also comes before the dense layer.
    pub input_dropout: bool,
    /// Modules that train with the head: (path prefix, name for `modules_to_save`, only when fresh).
    pub modules: &'static [HeadModule],
}

/// A module that belongs to the head.
#[derive(Debug, Clone, Copy)]
pub struct HeadModule {
    /// Name for `modules_to_save`.
    pub name: &'static str,
    /// Path of its parameters.
    pub path: &'static str,
    /// Part of the base model: trains only when it starts afresh.
    pub only_when_fresh: bool,
}

/// An encoder family as data: how its configuration is read and what its tensors are called.
#[derive(Debug)]
pub struct Family {
    /// `model_type` values.
    pub model_types: &'static [&'static str],
    /// Name of the base model inside a model with a head, without dot.
    pub prefix: &'static str,
    /// Names in the embedding module.
    pub embeddings: EmbeddingNames,
    /// Path of the list of blocks.
    pub blocks: &'static str,
    /// Names in a block.
    pub block: BlockNames,
    /// The classification head.
    pub head: HeadNames,
    /// The class of `transformers` with that head.
    pub classifier_class: &'static str,
    /// Default `target_modules`.
    pub default_targets: &'static [&'static str],
    /// Reads sizes and options; refuses what is not supported, by name.
    pub read: fn(&ModelConfig) -> Result<EncoderConfig, ModelError>,
}
