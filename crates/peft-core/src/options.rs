//! Settings that many methods share: as JSON fields, from configurations, and what is refused.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::PeftError;
use crate::file::PeftConfig;
use crate::target::Target;

/// The fields of a value that serialises as an object.
#[must_use]
pub fn as_map(value: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(value) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    }
}

/// Refuses a dropout probability outside `[0, 1)`.
///
/// # Errors
/// [`PeftError::Option`] with the value.
pub fn check_dropout(method: &'static str, dropout: f64) -> Result<(), PeftError> {
    check_probability(method, "dropout", dropout)
}

/// Refuses an option that is no probability of dropping something, from 0 up to, but not including, 1.
///
/// # Errors
/// [`PeftError::Option`] with the value.
pub fn check_probability(
    method: &'static str,
    option: &'static str,
    value: f64,
) -> Result<(), PeftError> {
    if (0.0..1.0).contains(&value) {
        return Ok(());
    }
    Err(PeftError::Option {
        method,
        option: option.into(),
        problem: format!(
            "expected a probability from 0 up to, but not including, 1; found {value}"
        ),
    })
}

/// Refuses a configuration of LoRA's family whose features would be misread if they were ignored.
///
/// # Errors
/// [`PeftError::Unsupported`] with every such feature.
pub fn refuse_unreadable(config: &PeftConfig) -> Result<(), PeftError> {
    let problems: Vec<String> = config
        .unsupported_for_lora()
        .iter()
        .map(ToString::to_string)
        .collect();
    if problems.is_empty() {
        Ok(())
    } else {
        Err(PeftError::Unsupported { problems })
    }
}

/// Refuses a configuration with fields that do not have the types that they have in LoRA, for methods in which they mean the same: what cannot be
/// read would have its default.
///
/// # Errors
/// [`PeftError::Unsupported`] with every such field.
pub fn refuse_untyped(config: &PeftConfig) -> Result<(), PeftError> {
    if config.unreadable.is_empty() {
        return Ok(());
    }
    let problems = config.unreadable.iter().map(ToString::to_string);
    Err(PeftError::Unsupported {
        problems: problems.collect(),
    })
}

/// The fields `own` of a method of PEFT's in whose configurations LoRA's have no place, nor have those in `others`.
#[must_use]
pub fn peft_fields(own: &impl Serialize, others: &[&str]) -> Map<String, Value> {
    const LORAS: [&str; 4] = [
        "init_lora_weights",
        "lora_dropout",
        "use_dora",
        "use_rslora",
    ];
    let absent = LORAS.iter().chain(others);
    let mut fields: Map<String, Value> = absent
        .map(|field| ((*field).to_owned(), Value::Null))
        .collect();
    fields.extend(as_map(own));
    fields
}

/// Keeps those of `rare` that `config` uses, although configurations of PEFT's method have no such field: PEFT passes over it, readers here do not.
#[must_use]
pub fn with_rare(
    mut fields: Map<String, Value>,
    rare: &[&str],
    config: &PeftConfig,
) -> Map<String, Value> {
    let none = Map::new();
    let usual = PeftConfig::new("", Target::List(Vec::new())).to_map(&none);
    let here = config.to_map(&none);
    for field in rare {
        if here.get(*field) != usual.get(*field) {
            fields.shift_remove(*field);
        }
    }
    fields
}

/// A field of a method's own in a configuration; its default where the field is missing or null.
///
/// # Errors
/// [`PeftError::Option`] with the field and what serde reports.
pub fn own_option<T: DeserializeOwned + Default>(
    method: &'static str,
    config: &PeftConfig,
    field: &'static str,
) -> Result<T, PeftError> {
    let Some(value) = config.raw.get(field).filter(|value| !value.is_null()) else {
        return Ok(T::default());
    };
    T::deserialize(value).map_err(|error| PeftError::Option {
        method,
        option: field.into(),
        problem: error.to_string(),
    })
}

/// Refuses a folder of this project's own format that a later version wrote.
///
/// # Errors
/// [`PeftError::Unsupported`] naming the version.
pub fn check_format_version(method: &'static str, config: &PeftConfig) -> Result<(), PeftError> {
    const KNOWN: u64 = 1;
    let found = config.raw.get("format_version");
    match found.filter(|value| !value.is_null()) {
        Some(version) if version.as_u64() != Some(KNOWN) => Err(PeftError::Unsupported {
            problems: vec![format!(
                "`format_version` = {version}: this program reads version {KNOWN} of `{method}`; update it"
            )],
        }),
        _ => Ok(()),
    }
}
