//! What can be wrong with the form of a data file: its bytes, its quotes, its header, the spelling of its labels.

use std::path::PathBuf;

/// A data file that cannot be read as it is, with the place and the way out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// A data file is no text in the encoding that it should have.
    #[error("{}: line {line}, byte {byte} of the file: expected text, found {found}; {help}", path.display())]
    NotText {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// The offset in the file, counted from 0.
        byte: usize,
        /// What stands there.
        found: String,
        /// What to do.
        help: &'static str,
    },
    /// A data file holds its data in a form that is not read.
    #[error("{}: expected a table as text or Parquet, found a file that is {what}; {help}", path.display())]
    OtherForm {
        /// The file.
        path: PathBuf,
        /// What it is.
        what: &'static str,
        /// What to do.
        help: &'static str,
    },
    /// A Parquet file is broken, or this program was built without its reader.
    #[error("{}: Parquet: {message}", path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// A line is too long to be one example.
    #[error(
        "{}: line {line} has {bytes} bytes, expected at most {limit}; is it one row per line? \
         raise the limit when it is",
        path.display()
    )]
    LongLine {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// Its length in bytes.
        bytes: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// A quoted CSV cell never ends.
    #[error(
        "{}: the row that begins on line {line} opens a quote that is never closed; \
         double the quotes inside a cell, or read quotes as they are: --quoting none",
        path.display()
    )]
    OpenQuote {
        /// The file.
        path: PathBuf,
        /// The line on which the row begins, counted from 1.
        line: u64,
    },
    /// A quoted cell takes several lines and goes on after its closing quote.
    #[error(
        "{}: line {line}: the cell that begins with a quote would end on line {end}, in the middle of a text; where quotes belong to the \
         texts, read them as they are: --quoting none",
        path.display()
    )]
    LoneQuote {
        /// The file.
        path: PathBuf,
        /// The line on which the cell begins, counted from 1.
        line: u64,
        /// The line of its next quote.
        end: u64,
    },
    /// A first row that would be read as an example looks like a header.
    #[error(
        "{}: line {line} looks like a header, {found:?}, and would be learnt as an example; if it is one, name the columns by it: \
         --columns {renamed}; if it is an example: --header no",
        path.display()
    )]
    HeaderAsRow {
        /// The file.
        path: PathBuf,
        /// The line of the row, counted from 1.
        line: u64,
        /// Its cells.
        found: Vec<String>,
        /// The columns by the names in the row.
        renamed: String,
    },
    /// One number is written in two ways as a label.
    #[error(
        "{}: the labels `{first}` and `{second}` are one number written in two ways; write them alike, or as words when they are two classes",
        path.display()
    )]
    SameNumber {
        /// The file.
        path: PathBuf,
        /// One of them.
        first: String,
        /// The other.
        second: String,
    },
}
