//! Examples: one text or a pair of texts, and what the model should say about it.

use serde_json::Value;

use super::json::kind;
use super::label::{LabelSet, label_text};
use super::problem::{Problems, RowFault, shorten};
use super::roles::Roles;
use super::table::Table;
use crate::TrainError;

/// What the model should say about an example.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Target {
    /// The class, an index of the [`LabelSet`].
    Class(usize),
    /// The value of a regression, finite.
    Value(f64),
    /// Unknown: the example is to be predicted.
    None,
}

/// What kind of target a task needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetKind {
    /// A label.
    Class,
    /// A number.
    Value,
    /// Nothing; a target column is not looked at.
    None,
}

/// One example of a data set.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    /// The text, or the first of two.
    pub text: String,
    /// The second text.
    pub pair: Option<String>,
    /// What the model should say about it.
    pub target: Target,
}

/// Turns the rows of `table` into examples, in the order of the file.
///
/// `labels` are needed for [`TargetKind::Class`] alone: fit them on the training file and use them for every file.
///
/// # Errors
/// [`TrainError::MissingColumn`] when a column is not there; [`TrainError::Rows`] with every empty text, missing or
/// unknown label and unusable number.
///
/// # Panics
/// When `kind` is [`TargetKind::Class`] and `labels` is `None`.
pub fn examples(
    table: &Table,
    roles: &Roles,
    kind: TargetKind,
    labels: Option<&LabelSet>,
) -> Result<Vec<Example>, TrainError> {
    let columns = roles.resolve(table, kind)?;
    let mut problems = Problems::default();
    let mut examples = Vec::with_capacity(table.rows.len());
    for row in &table.rows {
        let mut cell = |index: usize, read: &dyn Fn(&str, &Value) -> Result<Cell, RowFault>| {
            read(&table.columns[index], &row.cells[index])
                .map_err(|fault| problems.push(row.line, fault))
                .ok()
        };
        let text = cell(columns.text, &text_cell);
        let pair = columns.pair.map(|index| cell(index, &text_cell));
        let target = match (columns.target, kind) {
            (Some(index), TargetKind::Class) => {
                let labels = labels.expect("classes need a label set");
                cell(index, &|column, value| class_cell(column, value, labels))
            }
            (Some(index), TargetKind::Value) => cell(index, &value_cell),
            _ => Some(Cell::Target(Target::None)),
        };
        if let (Some(Cell::Text(text)), Some(Cell::Target(target))) = (text, target) {
            let pair = match pair {
                None => None,
                Some(Some(Cell::Text(pair))) => Some(pair),
                Some(_) => continue,
            };
            examples.push(Example { text, pair, target });
        }
    }
    problems.finish(&table.path)?;
    Ok(examples)
}

/// A cell that was understood.
enum Cell {
    Text(String),
    Target(Target),
}

fn text_cell(column: &str, value: &Value) -> Result<Cell, RowFault> {
    const EXPECTED: &str = "a text";
    match value {
        Value::String(text) if !text.trim().is_empty() => Ok(Cell::Text(text.clone())),
        Value::String(_) | Value::Null => Err(RowFault::EmptyCell {
            column: column.to_string(),
            expected: EXPECTED,
        }),
        other => Err(RowFault::WrongCell {
            column: column.to_string(),
            expected: EXPECTED,
            found: kind(other).to_string(),
        }),
    }
}

fn class_cell(column: &str, value: &Value, labels: &LabelSet) -> Result<Cell, RowFault> {
    let label = label_text(column, value)?;
    let class = labels
        .id(&label)
        .ok_or_else(|| labels.unknown(column, &label))?;
    Ok(Cell::Target(Target::Class(class)))
}

fn value_cell(column: &str, value: &Value) -> Result<Cell, RowFault> {
    const EXPECTED: &str = "a finite number";
    let text = match value {
        Value::String(text) => text.trim().to_string(),
        Value::Number(number) => number.to_string(),
        Value::Null => String::new(),
        other => kind(other).to_string(),
    };
    if text.is_empty() {
        return Err(RowFault::EmptyCell {
            column: column.to_string(),
            expected: EXPECTED,
        });
    }
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(Cell::Target(Target::Value(number))),
        _ => Err(RowFault::WrongCell {
            column: column.to_string(),
            expected: EXPECTED,
            found: format!("`{}`", shorten(&text)),
        }),
    }
}
