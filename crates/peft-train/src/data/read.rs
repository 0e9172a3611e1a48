//! Reads a data file into a [`Table`]: checks that it is text, then hands it to the reader of its format.

use std::path::Path;

use super::roles::Roles;
use super::table::{Format, Quoting, Table};
use super::{delimited, json};
use crate::TrainError;

/// How a data file is read.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadOptions {
    /// The format; `None` takes it from the extension.
    pub format: Option<Format>,
    /// What a double quote means in CSV and TSV.
    pub quoting: Quoting,
    /// The names of the columns of a CSV or TSV file, in order; an empty name or `_` skips a column.
    pub columns: Option<Vec<String>>,
    /// Whether the first row of a CSV or TSV file is a header; `None` finds out: it is one when a cell is one of
    /// `wanted` or, with `columns`, the name of its own column (ASCII case ignored).
    pub header: Option<bool>,
    /// The names by which a header is recognised, from [`Roles::names`] or of another task.
    pub wanted: Vec<String>,
    /// The longest line in bytes; a longer one is an error rather than an example. Not applied to a JSON array.
    pub max_line: usize,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self {
            format: None,
            quoting: Quoting::Auto,
            columns: None,
            header: None,
            wanted: Roles::default().names(),
            max_line: 16 << 20,
        }
    }
}

/// Reads a CSV, TSV, JSONL or JSON file. A byte order mark and blank lines are skipped; line ends may be LF or CRLF.
///
/// # Errors
/// A file that cannot be read, is not UTF-8, contains NUL, has an over-long line, no rows, no usable header or rows of
/// the wrong width gives the [`TrainError`] that names the place; unusable rows are reported all together.
pub fn read_table(path: &Path, options: &ReadOptions) -> Result<Table, TrainError> {
    let format = match options.format {
        Some(format) => format,
        None => Format::from_path(path)?,
    };
    let bytes = std::fs::read(path).map_err(|source| TrainError::Read {
        path: path.to_path_buf(),
        source,
    })?;
    // A JSON array is often written on one line.
    let max_line = if format == Format::Json {
        usize::MAX
    } else {
        options.max_line
    };
    let text = checked_text(path, &bytes, max_line)?;
    if text.trim().is_empty() {
        return Err(TrainError::Empty {
            path: path.to_path_buf(),
        });
    }
    let table = match format {
        Format::Csv | Format::Tsv => delimited::read(path, text, format, options)?,
        Format::Jsonl | Format::Json if options.columns.is_some() => {
            return Err(TrainError::Option {
                option: "columns",
                expected: format!("none for {}: JSON names its own columns", path.display()),
                found: options.columns.as_deref().unwrap_or_default().join(","),
            });
        }
        Format::Jsonl => json::read_lines(path, text)?,
        Format::Json => json::read_array(path, text)?,
    };
    if table.rows.is_empty() {
        return Err(TrainError::Empty {
            path: path.to_path_buf(),
        });
    }
    Ok(table)
}

/// The file as text without its byte order mark.
fn checked_text<'a>(path: &Path, bytes: &'a [u8], max_line: usize) -> Result<&'a str, TrainError> {
    let not_text = |byte: usize, found: String| TrainError::NotText {
        path: path.to_path_buf(),
        line: line_of(bytes, byte),
        byte,
        found,
    };
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(not_text(0, "the mark of UTF-16".to_string()));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let at = error.valid_up_to();
        not_text(at, format!("the byte 0x{:02x}", bytes[at]))
    })?;
    if let Some(at) = bytes.iter().position(|&byte| byte == 0) {
        return Err(not_text(at, "a NUL byte".to_string()));
    }
    for (index, line) in text.split('\n').enumerate() {
        if line.len() > max_line {
            return Err(TrainError::LongLine {
                path: path.to_path_buf(),
                line: index as u64 + 1,
                bytes: line.len(),
                limit: max_line,
            });
        }
    }
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

fn line_of(bytes: &[u8], at: usize) -> u64 {
    bytes[..at].iter().filter(|&&byte| byte == b'\n').count() as u64 + 1
}
