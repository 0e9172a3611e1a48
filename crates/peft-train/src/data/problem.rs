//! What can be wrong with one row, and the report that collects it over a whole file.

use std::path::Path;

use crate::TrainError;

/// How many problems a report keeps; the rest is only counted, so a wrong file of a million rows stays readable.
const KEPT_PROBLEMS: usize = 100;

/// How many characters of a cell are shown.
const SHOWN_CHARS: usize = 60;

/// One row that cannot be used, and why.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("line {line}: {fault}")]
pub struct RowProblem {
    /// The line on which the row begins, counted from 1.
    pub line: u64,
    /// What is wrong.
    pub fault: RowFault,
}

/// What is wrong with a row.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RowFault {
    /// The row ends before the last named column.
    #[error("expected {expected} cells ({columns}), found {found}")]
    TooFewCells {
        /// How many cells the named columns need.
        expected: usize,
        /// How many there are.
        found: usize,
        /// The columns, joined by commas.
        columns: String,
    },
    /// The row goes on after the last column of the header.
    #[error(
        "expected {expected} cells as in the header, found {found}; quote a cell that contains the separator"
    )]
    TooManyCells {
        /// How many cells the header has.
        expected: usize,
        /// How many there are.
        found: usize,
    },
    /// A cell that is needed is missing, null or empty.
    #[error("column `{column}`: expected {expected}, found nothing")]
    EmptyCell {
        /// The column.
        column: String,
        /// What it should hold.
        expected: &'static str,
    },
    /// A cell holds another kind of value than its column should.
    #[error("column `{column}`: expected {expected}, found {found}")]
    WrongCell {
        /// The column.
        column: String,
        /// What it should hold.
        expected: &'static str,
        /// The beginning of what it holds.
        found: String,
    },
    /// A label that was not there in the training file.
    #[error(
        "column `{column}`: label `{label}` is unknown, expected one of the {known} labels of the training file ({examples})"
    )]
    UnknownLabel {
        /// The column.
        column: String,
        /// The label.
        label: String,
        /// How many labels there are.
        known: usize,
        /// The first few of them, joined by commas.
        examples: String,
    },
    /// The first row looks like a header that was read as data.
    #[error(
        "column `{column}`: label `{label}` stands on the first row only and every other label is a whole number; \
         name the columns by that row: --columns text=COLUMN,label=COLUMN"
    )]
    HeaderAsLabel {
        /// The column.
        column: String,
        /// The label.
        label: String,
    },
    /// A line of JSON cannot be parsed.
    #[error("column {column}: broken JSON: {message}")]
    Json {
        /// The column in the line, counted from 1.
        column: usize,
        /// What the parser expected.
        message: String,
    },
    /// The chat template refuses a conversation.
    #[error("the chat template refuses these messages: {message}")]
    Template {
        /// What it says.
        message: String,
    },
    /// A line of JSON is no object.
    #[error("expected a JSON object with one value per column, found {found}")]
    NotAnObject {
        /// The kind of value.
        found: &'static str,
    },
}

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
