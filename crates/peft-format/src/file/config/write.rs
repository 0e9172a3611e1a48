//! Writing `adapter_config.json`: the fields that every PEFT since 0.9 reads, and newer ones only when used.

use indexmap::IndexMap;
use serde_json::{Map, Value, json};

use super::PeftConfig;
use crate::target::{ALL_LINEAR, Selector, Target};

/// Fields whose order has a meaning: the first matching key wins.
const ORDERED: [&str; 2] = ["rank_pattern", "alpha_pattern"];

impl PeftConfig {
    /// The fields to write, with `method_fields` added or put in place of the generic ones; one that is null there has no place in the
    /// method's configurations and is left away.
    ///
    /// `inference_mode` is always true, as PEFT writes it. The raw fields of a config that was read are not
    /// copied. Expand [`Target::AllLinear`] first: PEFT writes the expanded list.
    pub fn to_map(&self, method_fields: &Map<String, Value>) -> Map<String, Value> {
        let mut map = Map::new();
        let mut put = |field: &str, value: Value| map.insert(field.to_owned(), value);
        put(
            "alpha_pattern",
            pattern(&self.alpha_pattern, |alpha| number(*alpha)),
        );
        put("auto_mapping", Value::Null);
        put(
            "base_model_name_or_path",
            json!(self.base_model_name_or_path),
        );
        put("bias", json!(self.bias));
        put("fan_in_fan_out", json!(self.fan_in_fan_out));
        put("inference_mode", json!(true));
        put("init_lora_weights", self.init_lora_weights.clone());
        put("layers_pattern", names(&self.layers_pattern));
        put("layers_to_transform", json!(self.layers_to_transform));
        put(self.alpha_field, number(self.lora_alpha));
        put("lora_dropout", json!(self.lora_dropout));
        put("modules_to_save", names(&self.modules_to_save));
        put("peft_type", json!(self.peft_type));
        put("r", json!(self.r));
        put(
            "rank_pattern",
            pattern(&self.rank_pattern, |rank| json!(rank)),
        );
        put("revision", json!(self.revision));
        put(
            "target_modules",
            self.target.as_ref().map_or(Value::Null, target),
        );
        put("task_type", json!(self.task_type));
        put("use_dora", json!(self.use_dora));
        put("use_rslora", json!(self.use_rslora));
        match &self.exclude {
            None => {}
            Some(Selector::List(items)) => drop(put("exclude_modules", json!(items))),
            Some(Selector::Regex(pattern)) => drop(put("exclude_modules", json!(pattern))),
        }
        if self.lora_bias {
            put("lora_bias", json!(true));
        }
        for (field, value) in method_fields {
            if value.is_null() {
                map.shift_remove(field);
            } else {
                map.insert(field.clone(), value.clone());
            }
        }
        map
    }
}

/// The text of a config file as PEFT writes it: indented by two spaces, keys sorted at every level, no newline at
/// the end.
///
/// The entries of `rank_pattern` and `alpha_pattern` keep their order. PEFT sorts them too and so changes which
/// entry wins; a reader takes them in file order either way.
pub fn to_json(map: &Map<String, Value>) -> String {
    let mut sorted = Map::new();
    let mut keys: Vec<&String> = map.keys().collect();
    keys.sort();
    for key in keys {
        let value = &map[key];
        let value = if ORDERED.contains(&key.as_str()) {
            value.clone()
        } else {
            sort(value)
        };
        sorted.insert(key.clone(), value);
    }
    format!("{:#}", Value::Object(sorted))
}

fn sort(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map
                .iter()
                .map(|(key, value)| (key.clone(), sort(value)))
                .collect();
            entries.sort_by(|(left, _), (right, _)| left.cmp(right));
            Value::Object(entries.into_iter().collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(sort).collect()),
        other => other.clone(),
    }
}

fn target(target: &Target) -> Value {
    match target {
        Target::List(items) => json!(items),
        Target::Regex(pattern) => json!(pattern),
        Target::AllLinear => json!(ALL_LINEAR),
    }
}

fn names(names: &[String]) -> Value {
    if names.is_empty() {
        Value::Null
    } else {
        json!(names)
    }
}

fn pattern<V>(pattern: &IndexMap<String, V>, value: impl Fn(&V) -> Value) -> Value {
    pattern
        .iter()
        .map(|(key, item)| (key.clone(), value(item)))
        .collect::<Map<_, _>>()
        .into()
}

/// Whole numbers are written without a fraction: PEFT declares alpha as an integer.
fn number(value: f64) -> Value {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if value.fract() == 0.0 && value.abs() < EXACT {
        format!("{value:.0}")
            .parse::<i64>()
            .map_or_else(|_| json!(value), |whole| json!(whole))
    } else {
        json!(value)
    }
}
