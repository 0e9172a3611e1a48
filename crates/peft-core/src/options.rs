//! Settings that many methods share: as JSON fields, from configurations, and what is refused.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::error::PeftError;
use crate::file::PeftConfig;

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
    if (0.0..1.0).contains(&dropout) {
        return Ok(());
    }
    Err(PeftError::Option {
        method,
        option: "dropout".into(),
        problem: format!(
            "expected a probability from 0 up to, but not including, 1; found {dropout}"
        ),
    })
}

/// Refuses a configuration of LoRA's family whose features would be misread if they were passed over.
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
