//! `adapter_config.json`: a typed view of the fields that generic code needs, with the raw fields beside it.
//!
//! Reading is tolerant: a missing or null field has PEFT's default, and an unknown field is reported in
//! [`PeftConfig::unknown`]. Every field of the wrong type is named in one error. The order of `rank_pattern` and
//! `alpha_pattern` is kept, because their first matching key wins.

mod fields;
mod heads;
mod targets;
mod unsupported;
mod write;

use std::path::Path;

use indexmap::IndexMap;
use serde_json::{Map, Value};

use super::foreign::is_mlx_config;
use super::{FieldProblem, FileError};
use crate::target::{Selector, Target, TargetRules};
use fields::Fields;

pub use unsupported::Unsupported;
pub use write::to_json;

/// The `peft_type` of LoRA and its variants.
pub(super) const LORA: &str = "LORA";
/// What LoRA calls alpha.
pub const LORA_ALPHA: &str = "lora_alpha";
/// What other methods may call alpha; of several that are there the first.
const ALPHAS: [&str; 3] = ["alpha", "randlora_alpha", LORA_ALPHA];

/// A parsed `adapter_config.json`.
///
/// For a `peft_type` other than `LORA`, fields that LoRA also has are read if their types agree; those that differ
/// (the boolean `rank_pattern` of AdaLoRA) keep their defaults and are listed in `unreadable`.
#[derive(Clone, Debug, PartialEq)]
pub struct PeftConfig {
    /// The method, `LORA` for LoRA, rsLoRA and DoRA. The only required field.
    pub peft_type: String,
    /// `SEQ_CLS`, `CAUSAL_LM`, ...
    pub task_type: Option<String>,
    /// Hub id or path of the base model, as the writer knew it.
    pub base_model_name_or_path: Option<String>,
    /// Revision of the base model.
    pub revision: Option<String>,
    /// Default rank.
    pub r: usize,
    /// Default alpha.
    pub lora_alpha: f64,
    /// What the file calls alpha.
    pub alpha_field: &'static str,
    /// Dropout probability on the input of A.
    pub lora_dropout: f64,
    /// `target_modules`; `None` stands for PEFT's default for the architecture.
    pub target: Option<Target>,
    /// `exclude_modules`.
    pub exclude: Option<Selector>,
    /// `layers_to_transform`.
    pub layers_to_transform: Option<Vec<usize>>,
    /// `layers_pattern`.
    pub layers_pattern: Vec<String>,
    /// Ranks of single modules; read it with [`crate::target::pattern_value`].
    pub rank_pattern: IndexMap<String, usize>,
    /// Alphas of single modules; read it with [`crate::target::pattern_value`].
    pub alpha_pattern: IndexMap<String, f64>,
    /// Modules of which the folder holds full trained copies.
    pub modules_to_save: Vec<String>,
    /// Which biases were trained: `none`, `all` or `lora_only`.
    pub bias: String,
    /// Whether the base stores its weights `[d_in, d_out]` (GPT-2).
    pub fan_in_fan_out: bool,
    /// `true`, `false` or the name of an initialisation.
    pub init_lora_weights: Value,
    /// Scale by `alpha / sqrt(r)` instead of `alpha / r`.
    pub use_rslora: bool,
    /// Weight-decomposed LoRA.
    pub use_dora: bool,
    /// Whether `lora_B` has a bias.
    pub lora_bias: bool,
    /// Fields of the file that neither LoRA nor every method has. Reported, not fatal.
    pub unknown: Vec<String>,
    /// LoRA fields of another method's config that do not have LoRA's type.
    pub unreadable: Vec<FieldProblem>,
    /// Every field as the file has it, in file order.
    pub raw: Map<String, Value>,
}

impl PeftConfig {
    /// A config of the given method with PEFT's defaults and a target.
    pub fn new(peft_type: &str, target: Target) -> Self {
        Self {
            peft_type: peft_type.to_owned(),
            task_type: None,
            base_model_name_or_path: None,
            revision: None,
            r: 8,
            lora_alpha: 8.0,
            alpha_field: LORA_ALPHA,
            lora_dropout: 0.0,
            target: Some(target),
            exclude: None,
            layers_to_transform: None,
            layers_pattern: Vec::new(),
            rank_pattern: IndexMap::new(),
            alpha_pattern: IndexMap::new(),
            modules_to_save: Vec::new(),
            bias: "none".to_owned(),
            fan_in_fan_out: false,
            init_lora_weights: Value::Bool(true),
            use_rslora: false,
            use_dora: false,
            lora_bias: false,
            unknown: Vec::new(),
            unreadable: Vec::new(),
            raw: Map::new(),
        }
    }

    /// Parses the bytes of an `adapter_config.json`. `origin` names the file in errors.
    ///
    /// # Errors
    ///
    /// [`FileError::Json`], or [`FileError::BadConfig`] with every field of the wrong type.
    pub fn parse(bytes: &[u8], origin: &Path) -> Result<Self, FileError> {
        let json = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let value: Value = serde_json::from_slice(json).map_err(|source| FileError::Json {
            path: origin.to_owned(),
            source,
        })?;
        let raw = match value {
            Value::Object(raw) => raw,
            other => {
                let problem = fields::problem("(file)", "a JSON object", &other);
                return Err(FileError::BadConfig {
                    path: origin.to_owned(),
                    problems: vec![problem],
                });
            }
        };
        Self::from_map(raw).map_err(|problems| FileError::BadConfig {
            path: origin.to_owned(),
            problems,
        })
    }

    /// Reads the fields of a JSON object.
    ///
    /// # Errors
    ///
    /// Every field of the wrong type.
    pub fn from_map(raw: Map<String, Value>) -> Result<Self, Vec<FieldProblem>> {
        let (mut common, mut lora) = (Fields::new(&raw), Fields::new(&raw));
        let expected = if !raw.contains_key("peft_type") && is_mlx_config(&raw) {
            "a string; this is a configuration of mlx-lm, of whose folder `peft convert FOLDER --to peft` makes one of PEFT"
        } else {
            "a string"
        };
        let peft_type = common.required("peft_type", expected, fields::text);
        let mut config = Self::new(&peft_type, Target::List(Vec::new()));
        if peft_type != LORA {
            let found = ALPHAS.into_iter().find(|field| raw.contains_key(*field));
            config.alpha_field = found.unwrap_or(LORA_ALPHA);
        }
        config.read_common(&mut common);
        config.read_lora(&mut lora);
        let (mut problems, unreadable) = (common.problems, lora.problems);
        if peft_type == LORA {
            problems.extend(unreadable.iter().cloned());
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        config.unknown = raw
            .keys()
            .filter(|key| !fields::KNOWN.contains(&key.as_str()) && *key != config.alpha_field)
            .cloned()
            .collect();
        Ok(Self {
            unreadable,
            raw,
            ..config
        })
    }

    /// Fields that mean the same in every method.
    fn read_common(&mut self, from: &mut Fields<'_>) {
        const TEXT: &str = "a string or null";
        const NAMES: &str = "a list of strings, a string or null";
        self.task_type = from.optional("task_type", TEXT, fields::text);
        self.base_model_name_or_path = from.optional("base_model_name_or_path", TEXT, fields::text);
        self.revision = from.optional("revision", TEXT, fields::text);
        self.target = from.optional("target_modules", NAMES, fields::target);
        self.exclude = from
            .optional("exclude_modules", NAMES, fields::selector)
            .flatten();
        self.layers_to_transform = from.optional(
            "layers_to_transform",
            "a layer index, a list of them or null",
            fields::one_or_more(fields::index),
        );
        self.layers_pattern = from.or("layers_pattern", NAMES, Vec::new(), fields::layers_pattern);
        self.modules_to_save = from.or(
            "modules_to_save",
            "a list of strings or null",
            Vec::new(),
            fields::list(fields::text),
        );
    }

    /// Fields of LoRA; a field that is absent or unreadable keeps its default.
    fn read_lora(&mut self, from: &mut Fields<'_>) {
        const BOOL: &str = "a boolean";
        from.set(&mut self.r, "r", "an integer from 1 to 65536", fields::rank);
        from.set(
            &mut self.lora_alpha,
            self.alpha_field,
            "a number of at most 1e9 in size",
            fields::alpha,
        );
        from.set(
            &mut self.lora_dropout,
            "lora_dropout",
            "a number from 0 to 1",
            fields::probability,
        );
        from.set(
            &mut self.rank_pattern,
            "rank_pattern",
            "an object of integers from 1 to 65536",
            fields::object(fields::rank),
        );
        from.set(
            &mut self.alpha_pattern,
            "alpha_pattern",
            "an object of numbers of at most 1e9 in size",
            fields::object(fields::alpha),
        );
        from.set(
            &mut self.bias,
            "bias",
            "`none`, `all` or `lora_only`",
            fields::bias,
        );
        from.set(
            &mut self.fan_in_fan_out,
            "fan_in_fan_out",
            BOOL,
            Value::as_bool,
        );
        from.set(
            &mut self.init_lora_weights,
            "init_lora_weights",
            "a boolean or a string",
            fields::init,
        );
        from.set(&mut self.use_rslora, "use_rslora", BOOL, Value::as_bool);
        from.set(&mut self.use_dora, "use_dora", BOOL, Value::as_bool);
        from.set(&mut self.lora_bias, "lora_bias", BOOL, Value::as_bool);
    }

    /// The target rules, or `None` if `target_modules` is null.
    pub fn target_rules(&self) -> Option<TargetRules> {
        Some(TargetRules {
            target: self.target.clone()?,
            exclude: self.exclude.clone(),
            layers_to_transform: self.layers_to_transform.clone(),
            layers_pattern: self.layers_pattern.clone(),
        })
    }
}
