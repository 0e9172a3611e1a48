//! Settings by their dotted keys: given as text, laid over one another, checked against those that are known.

use peft_core::near;
use serde_json::{Map, Value};

use crate::{Error, Result};

/// Keys below which anything may stand: patterns are the user's own, options are checked by the method.
const FREE: &[&str] = &[
    "adapter.rank_pattern",
    "adapter.alpha_pattern",
    "adapter.options",
    "procedures",
];

/// `key=value` as `--set` takes it; the value is TOML, or else text.
///
/// # Errors
/// A text without `=`, or with a value that is none.
pub fn parse_setting(text: &str) -> Result<(String, toml::Value)> {
    let Some((key, value)) = text.split_once('=') else {
        return Err(Error::Usage(format!(
            "--set {text}: expected key=value, for example train.lr=1e-3"
        )));
    };
    Ok((key.trim().to_owned(), parse_value(value.trim())))
}

/// A TOML value; anything that is none is taken as text.
fn parse_value(text: &str) -> toml::Value {
    let document: Result<toml::Table, _> = format!("value = {text}").parse();
    document
        .ok()
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| toml::Value::String(text.to_owned()))
}

/// Sets the value of a dotted key; a table is laid over the one that is there.
///
/// # Errors
/// A key whose beginning names a value rather than a table.
pub fn set(table: &mut toml::Table, key: &str, value: toml::Value) -> Result<()> {
    match key.split_once('.') {
        None => match (table.get_mut(key), value) {
            (Some(toml::Value::Table(present)), toml::Value::Table(over)) => {
                present.extend(over);
            }
            (_, value) => {
                table.insert(key.to_owned(), value);
            }
        },
        Some((head, rest)) => {
            let inner = table
                .entry(head)
                .or_insert_with(|| toml::Value::Table(toml::Table::new()));
            let Some(inner) = inner.as_table_mut() else {
                return Err(Error::Usage(format!(
                    "setting `{key}`: `{head}` is a value, not a table"
                )));
            };
            set(inner, rest, value)?;
        }
    }
    Ok(())
}

/// The key of a number that is NaN or infinite: no setting means one, and results in JSON cannot hold it.
pub(super) fn not_finite(value: &toml::Value, path: &str) -> Option<String> {
    match value {
        toml::Value::Float(number) if !number.is_finite() => Some(path.to_owned()),
        toml::Value::Array(items) => items.iter().find_map(|item| not_finite(item, path)),
        toml::Value::Table(table) => table.iter().find_map(|(key, value)| {
            not_finite(value, format!("{path}.{key}").trim_start_matches('.'))
        }),
        _ => None,
    }
}

pub(super) fn unknown_keys(given: &toml::Value, known: &Value, path: &str) -> Vec<String> {
    let (Some(given), Some(known)) = (given.as_table(), known.as_object()) else {
        return vec![];
    };
    let mut unknown = vec![];
    for (key, value) in given {
        let full = if path.is_empty() {
            key.clone()
        } else {
            format!("{path}.{key}")
        };
        match known.get(key) {
            Some(below) if !FREE.contains(&full.as_str()) => {
                unknown.extend(unknown_keys(value, below, &full));
            }
            Some(_) => {}
            None => unknown.push(describe_unknown(&full, key, known)),
        }
    }
    unknown
}

fn describe_unknown(full: &str, key: &str, known: &Map<String, Value>) -> String {
    match near(key, known.keys().map(String::as_str), 0.8) {
        Some(candidate) => format!("  `{full}`: did you mean `{candidate}`?"),
        None => {
            let names: Vec<&str> = known.keys().map(String::as_str).collect();
            format!("  `{full}`: expected one of {}", names.join(", "))
        }
    }
}
