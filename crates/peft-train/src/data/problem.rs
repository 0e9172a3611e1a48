//! The report that collects what is wrong with rows over a whole file, and how it shows cells.

use std::path::Path;

use serde_json::Value;

use super::row_fault::{RowFault, RowProblem};
use crate::TrainError;

/// How many problems a report keeps; the rest is only counted, so a wrong file of a million rows stays readable.
const KEPT_PROBLEMS: usize = 100;

/// How many characters of a cell are shown.
const SHOWN_CHARS: usize = 60;

/// Collects the problems of one file.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    kept: Vec<RowProblem>,
    count: usize,
}

impl Problems {
    /// Notes one problem.
    pub(crate) fn push(&mut self, line: u64, fault: RowFault) {
        self.count += 1;
        if self.kept.len() < KEPT_PROBLEMS {
            self.kept.push(RowProblem { line, fault });
        }
    }

    /// The value of a cell, or nothing after noting what is wrong with it.
    pub(crate) fn keep<T>(&mut self, line: u64, cell: Result<T, RowFault>) -> Option<T> {
        cell.map_err(|fault| self.push(line, fault)).ok()
    }

    /// An error that lists everything noted, or nothing when all rows were good.
    pub(crate) fn finish(self, path: &Path) -> Result<(), TrainError> {
        if self.count == 0 {
            return Ok(());
        }
        Err(TrainError::Rows {
            path: path.to_path_buf(),
            problems: self.kept,
            count: self.count,
        })
    }
}

/// The beginning of a text, short enough for a message.
pub(crate) fn shorten(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_string(),
    }
}

/// The kind of a JSON value, in words.
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
