//! What can be wrong with one row.

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
