//! The settings of what trains.

use std::path::PathBuf;

use indexmap::IndexMap;
use peft_core::BiasTraining;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Names;

/// What trains: an adapter method, `head` alone, or the `full` model.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdapterConfig {
    /// Identifier of the method, `head` or `full`.
    pub method: String,
    /// Rank where no pattern says otherwise.
    pub rank: usize,
    /// Alpha where no pattern says otherwise; twice the rank when absent.
    pub alpha: Option<f64>,
    /// Adapted modules; the architecture's defaults when absent.
    pub targets: Option<Names>,
    /// Whether a target that matches no layer is an error rather than a warning.
    pub strict: bool,
    /// Modules left out.
    pub exclude: Option<Names>,
    /// Indices of the layers to adapt; all when absent.
    pub layers: Option<Vec<usize>>,
    /// Name of the list that layer indices count, for example `layer`.
    pub layers_pattern: Vec<String>,
    /// Path pattern to rank, first match wins.
    pub rank_pattern: IndexMap<String, usize>,
    /// Path pattern to alpha, first match wins.
    pub alpha_pattern: IndexMap<String, f64>,
    /// Modules trained as a whole; the task's head when absent.
    pub modules_to_save: Option<Vec<String>>,
    /// Biases of the base that train along: none, all, or those of adapted layers (lora_only).
    pub bias: BiasTraining,
    /// Adapter folder whose values the adapter starts with, and whose settings it has where no other is given.
    pub start: Option<PathBuf>,
    /// For a mixture: LoRA folders that its experts start as, one each from the first.
    pub experts_from: Vec<PathBuf>,
    /// The method's own options.
    pub options: Map<String, Value>,
}

impl Default for AdapterConfig {
    fn default() -> Self {
        Self {
            method: "lora".into(),
            rank: 8,
            alpha: None,
            targets: None,
            strict: false,
            exclude: None,
            layers: None,
            layers_pattern: vec![],
            rank_pattern: IndexMap::new(),
            alpha_pattern: IndexMap::new(),
            modules_to_save: None,
            bias: BiasTraining::None,
            start: None,
            experts_from: vec![],
            options: Map::new(),
        }
    }
}
