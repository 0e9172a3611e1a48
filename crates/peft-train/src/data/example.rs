//! Examples: one text or a pair of texts, and what the model should say about it.

use serde_json::Value;

use super::label::LabelSet;
use super::label_text::label_text;
use super::problem::{Problems, kind, shorten};
use super::roles::Roles;
use super::row_fault::RowFault;
use super::table::Table;
use super::target::{Target, TargetKind};
use crate::TrainError;

/// What the examples of a file are given as targets.
#[derive(Debug, Clone, Copy)]
pub enum Targets<'a> {
    /// Classes, numbered by these labels: fit them on the training file and use them for every file.
    Classes(&'a LabelSet),
    /// Numbers.
    Values,
    /// Nothing; a target column is not looked at.
    Unknown,
}

impl Targets<'_> {
    /// The kind of target.
    pub fn kind(self) -> TargetKind {
        match self {
            Self::Classes(_) => TargetKind::Class,
            Self::Values => TargetKind::Value,
            Self::Unknown => TargetKind::None,
        }
    }
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
/// # Errors
/// [`TrainError::MissingColumn`] when a column is not there; [`TrainError::Rows`] with every empty text, missing or
/// unknown label and unusable number.
pub fn examples(
    table: &Table,
    roles: &Roles,
    targets: Targets<'_>,
) -> Result<Vec<Example>, TrainError> {
    let columns = roles.resolve(table, targets.kind())?;
    let mut problems = Problems::default();
    let mut examples = Vec::with_capacity(table.rows.len());
    for row in &table.rows {
        let cell = |index: usize| (table.columns[index].as_str(), &row.cells[index]);
        let text = problems.keep(row.line, text_cell(cell(columns.text)));
        let pair = columns
            .pair
            .map(|index| problems.keep(row.line, text_cell(cell(index))));
        let target = match (columns.target, targets) {
            (Some(index), Targets::Classes(labels)) => class_cell(cell(index), labels),
            (Some(index), Targets::Values) => value_cell(cell(index)),
            _ => Ok(Target::None),
        };
        let target = problems.keep(row.line, target);
        // A pair of which one text is unusable is in the report and becomes no example.
        let pair = pair.map_or(Some(None), |pair| pair.map(Some));
        if let (Some(text), Some(pair), Some(target)) = (text, pair, target) {
            examples.push(Example { text, pair, target });
        }
    }
    problems.finish(&table.path)?;
    Ok(examples)
}

fn text_cell((column, value): (&str, &Value)) -> Result<String, RowFault> {
    const EXPECTED: &str = "a text";
    match value {
        Value::String(text) if !text.trim().is_empty() => Ok(text.clone()),
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

fn class_cell((column, value): (&str, &Value), labels: &LabelSet) -> Result<Target, RowFault> {
    let label = label_text(column, value)?;
    let class = labels
        .id(&label)
        .ok_or_else(|| labels.unknown(column, &label))?;
    Ok(Target::Class(class))
}

fn value_cell((column, value): (&str, &Value)) -> Result<Target, RowFault> {
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
        Ok(number) if number.is_finite() => Ok(Target::Value(number)),
        _ => Err(RowFault::WrongCell {
            column: column.to_string(),
            expected: EXPECTED,
            found: format!("`{}`", shorten(&text)),
        }),
    }
}
