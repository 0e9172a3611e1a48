//! One spelling for one label: what a cell says, and which texts say the same.

use indexmap::IndexMap;
use serde_json::Value;

use super::problem::{kind, shorten};
use super::row_fault::RowFault;

/// The label that a cell holds.
///
/// White space around a label does not count, and a JSON number or boolean is the same label as its text. A whole number is one label
/// however it is written (`1`, `1.0`): spreadsheets and data frames write integers with a fraction as soon as a cell of the column is empty.
pub(super) fn label_text(column: &str, value: &Value) -> Result<String, RowFault> {
    const EXPECTED: &str = "a label";
    let text = match value {
        Value::String(text) => whole(text.trim()).to_owned(),
        Value::Number(number) => whole(&number.to_string()).to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Null => String::new(),
        other => {
            return Err(RowFault::WrongCell {
                column: column.to_string(),
                expected: EXPECTED,
                found: kind(other).to_string(),
            });
        }
    };
    if text.is_empty() {
        return Err(RowFault::EmptyCell {
            column: column.to_string(),
            expected: EXPECTED,
        });
    }
    Ok(text)
}

/// A whole number without the fraction of zeros behind it; any other text as it is.
fn whole(text: &str) -> &str {
    match text.split_once('.') {
        Some((number, zeros))
            if number.parse::<i64>().is_ok()
                && !zeros.is_empty()
                && zeros.bytes().all(|byte| byte == b'0') =>
        {
            number
        }
        _ => text,
    }
}

/// What two texts have in common when they are one label: truth values are the same in any case, all other texts are what they are.
pub(super) fn key(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    match lower.as_str() {
        "true" | "false" => lower,
        _ => whole(text).to_owned(),
    }
}

/// The first two labels that are one number written in two ways, such as `0.5` and `0.50`, or `1` and `01`.
pub(super) fn same_number<'a>(names: impl Iterator<Item = &'a str>) -> Option<(String, String)> {
    let mut seen: IndexMap<String, &str> = IndexMap::new();
    for name in names {
        if let Some(number) = number(name)
            && let Some(earlier) = seen.insert(number, name)
        {
            return Some((shorten(earlier), shorten(name)));
        }
    }
    None
}

/// The number that a text is, in the one way in which we write it.
fn number(text: &str) -> Option<String> {
    if let Ok(whole) = text.parse::<i128>() {
        return Some(whole.to_string());
    }
    let number: f64 = text
        .parse()
        .ok()
        .filter(|number: &f64| number.is_finite())?;
    // Zero and minus zero are one number.
    Some((number + 0.0).to_string())
}

/// Pairs of labels that differ in the case of their letters alone.
pub(super) fn alike<'a>(names: impl Iterator<Item = &'a str>) -> Vec<(String, String)> {
    let mut seen: IndexMap<String, &str> = IndexMap::new();
    let mut pairs = Vec::new();
    for name in names {
        if let Some(earlier) = seen.insert(name.to_lowercase(), name) {
            pairs.push((shorten(earlier), shorten(name)));
        }
    }
    pairs
}
