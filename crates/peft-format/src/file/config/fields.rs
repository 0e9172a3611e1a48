//! Reading single config fields, collecting every problem.

use indexmap::IndexMap;
use serde_json::{Map, Value};

use super::FieldProblem;
use crate::ranks::{LARGEST_ALPHA, LARGEST_RANK};
use crate::target::{Selector, Target};

/// Fields that every PEFT config or a LoRA config of PEFT 0.21 may have.
pub(super) const KNOWN: [&str; 45] = [
    "alora_invocation_tokens",
    "alpha_pattern",
    "arrow_config",
    "auto_mapping",
    "base_model_name_or_path",
    "bias",
    "corda_config",
    "ensure_weight_tying",
    "eva_config",
    "exclude_modules",
    "fan_in_fan_out",
    "format_version",
    "inference_mode",
    "init_lora_weights",
    "kasa_config",
    "layer_replication",
    "layers_pattern",
    "layers_to_transform",
    "loftq_config",
    "lora_alpha",
    "lora_bias",
    "lora_dropout",
    "lora_ga_config",
    "megatron_config",
    "megatron_core",
    "modules_to_save",
    "monteclora_config",
    "peft_type",
    "peft_version",
    "qalora_group_size",
    "r",
    "rank_pattern",
    "revision",
    "runtime_config",
    "target_modules",
    "target_parameters",
    "task_type",
    "trainable_token_indices",
    "use_bdlora",
    "use_dora",
    "use_qalora",
    "use_rslora",
    "velora_config",
    // PEFT 0.1 and 0.2.
    "enable_lora",
    "merge_weights",
];

/// Reads fields of one object; a missing or null field is absent.
pub(super) struct Fields<'a> {
    map: &'a Map<String, Value>,
    pub(super) problems: Vec<FieldProblem>,
}

impl<'a> Fields<'a> {
    pub(super) fn new(map: &'a Map<String, Value>) -> Self {
        Self {
            map,
            problems: Vec::new(),
        }
    }

    pub(super) fn optional<T>(
        &mut self,
        field: &'static str,
        expected: &'static str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Option<T> {
        let value = self.map.get(field).filter(|value| !value.is_null())?;
        let read = read(value);
        if read.is_none() {
            self.problems.push(problem(field, expected, value));
        }
        read
    }

    pub(super) fn or<T>(
        &mut self,
        field: &'static str,
        expected: &'static str,
        default: T,
        read: impl Fn(&Value) -> Option<T>,
    ) -> T {
        self.optional(field, expected, read).unwrap_or(default)
    }

    /// Overwrites `place` if the field is there and readable.
    pub(super) fn set<T>(
        &mut self,
        place: &mut T,
        field: &'static str,
        expected: &'static str,
        read: impl Fn(&Value) -> Option<T>,
    ) {
        if let Some(value) = self.optional(field, expected, read) {
            *place = value;
        }
    }

    /// A field that must be there; an empty value stands in after a problem.
    pub(super) fn required<T: Default>(
        &mut self,
        field: &'static str,
        expected: &'static str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> T {
        if self.map.get(field).is_none_or(Value::is_null) {
            self.problems.push(problem(field, expected, &Value::Null));
            return T::default();
        }
        self.optional(field, expected, read).unwrap_or_default()
    }
}

pub(super) fn problem(field: &'static str, expected: &'static str, found: &Value) -> FieldProblem {
    const LONGEST: usize = 80;
    let text = found.to_string();
    let short: String = text.chars().take(LONGEST).collect();
    let found = if short.len() < text.len() {
        format!("{short}...")
    } else {
        text
    };
    FieldProblem {
        field,
        expected,
        found,
    }
}

pub(super) fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

pub(super) fn number(value: &Value) -> Option<f64> {
    value.as_f64().filter(|number| number.is_finite())
}

pub(super) fn alpha(value: &Value) -> Option<f64> {
    number(value).filter(|alpha| alpha.abs() <= LARGEST_ALPHA)
}

pub(super) fn probability(value: &Value) -> Option<f64> {
    number(value).filter(|number| (0.0..=1.0).contains(number))
}

/// A non-negative integer; `8.0` is accepted as 8.
pub(super) fn index(value: &Value) -> Option<usize> {
    const LARGEST: f64 = 4_294_967_296.0;
    if let Some(integer) = value.as_u64() {
        return usize::try_from(integer).ok();
    }
    let number = value
        .as_f64()
        .filter(|number| number.fract() == 0.0 && (0.0..LARGEST).contains(number))?;
    format!("{number:.0}").parse().ok()
}

pub(super) fn rank(value: &Value) -> Option<usize> {
    index(value).filter(|rank| (1..=LARGEST_RANK).contains(rank))
}

/// PEFT calls the biases of adapted layers by the method, `lora_only` or `vera_only`.
pub(super) fn bias(value: &Value) -> Option<String> {
    let bias = text(value)?;
    match bias.as_str() {
        "none" | "all" => Some(bias),
        _ => bias.ends_with("_only").then(|| "lora_only".to_owned()),
    }
}

pub(super) fn init(value: &Value) -> Option<Value> {
    (value.is_boolean() || value.is_string()).then(|| value.clone())
}

pub(super) fn list<T>(read: impl Fn(&Value) -> Option<T>) -> impl Fn(&Value) -> Option<Vec<T>> {
    move |value| value.as_array()?.iter().map(&read).collect()
}

pub(super) fn one_or_more<T>(
    read: impl Fn(&Value) -> Option<T>,
) -> impl Fn(&Value) -> Option<Vec<T>> {
    move |value| match value {
        Value::Array(items) => items.iter().map(&read).collect(),
        one => Some(vec![read(one)?]),
    }
}

pub(super) fn object<T>(
    read: impl Fn(&Value) -> Option<T>,
) -> impl Fn(&Value) -> Option<IndexMap<String, T>> {
    move |value| {
        value
            .as_object()?
            .iter()
            .map(|(key, value)| Some((key.clone(), read(value)?)))
            .collect()
    }
}

pub(super) fn target(value: &Value) -> Option<Target> {
    match value {
        Value::String(text) => Some(Target::from_text(text)),
        other => list(text)(other).map(Target::List),
    }
}

/// An empty string or list excludes nothing.
pub(super) fn selector(value: &Value) -> Option<Option<Selector>> {
    match value {
        Value::String(text) => Some((!text.is_empty()).then(|| Selector::Regex(text.clone()))),
        other => {
            list(text)(other).map(|items| (!items.is_empty()).then_some(Selector::List(items)))
        }
    }
}

/// An empty string stands for no pattern.
pub(super) fn layers_pattern(value: &Value) -> Option<Vec<String>> {
    if value.as_str() == Some("") {
        Some(Vec::new())
    } else {
        one_or_more(text)(value)
    }
}
