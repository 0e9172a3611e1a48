//! Reads a data file into a [`Table`]: unpacks it, makes text of it, then hands it to the reader of its format.

use std::path::Path;

use super::bytes::{refuse_other_forms, unpacked};
use super::encoding::{Encoding, decode};
use super::read_options::ReadOptions;
use super::table::{Format, ReadNote, Table};
use super::table_error::TableError;
use super::{delimited, json, parquet};
use crate::TrainError;

/// Reads a CSV, TSV, JSONL, JSON or Parquet file, as it is or packed by gzip. Byte order marks and blank lines are skipped; line ends may
/// be LF, CRLF or CR.
///
/// # Errors
/// A file that cannot be read, is no text of its encoding, contains NUL, has an over-long line, no rows, no usable header or rows of
/// the wrong width gives the [`TrainError`] that names the place; unusable rows are reported all together.
pub fn read_table(path: &Path, options: &ReadOptions) -> Result<Table, TrainError> {
    let format = match options.format {
        Some(format) => format,
        None => Format::from_path(path)?,
    };
    let bytes = unpacked(path)?;
    let mut table = if format == Format::Parquet || parquet::is_parquet(&bytes) {
        parquet::read(path, bytes)?
    } else {
        refuse_other_forms(path, &bytes)?;
        text_table(path, bytes, format, options)?
    };
    if table.rows.is_empty() {
        return Err(empty(path));
    }
    table.rename(&options.renamed)?;
    Ok(table)
}

/// The text of a file, as it is or packed by gzip: without byte order marks, every line end a line feed where all are carriage returns.
///
/// # Errors
/// As [`read_table`], for a file that cannot be read or is no text.
pub fn read_text(path: &Path, encoding: Option<Encoding>) -> Result<String, TrainError> {
    let bytes = unpacked(path)?;
    refuse_other_forms(path, &bytes)?;
    Ok(plain(path, bytes, encoding)?.0)
}

fn text_table(
    path: &Path,
    bytes: Vec<u8>,
    format: Format,
    options: &ReadOptions,
) -> Result<Table, TrainError> {
    let (text, mut notes) = plain(path, bytes, options.encoding)?;
    let is_json = matches!(format, Format::Json | Format::Jsonl);
    if !(is_json && json::is_array(&text)) {
        refuse_long_lines(path, &text, options.max_line)?;
    }
    if text.trim().is_empty() {
        return Err(empty(path));
    }
    let table = match (is_json, &options.columns) {
        (false, _) => delimited::read(path, &text, format, options)?,
        (true, None) => json::read(path, &text, &options.wanted)?,
        (true, Some(columns)) => {
            return Err(TrainError::Option {
                option: "columns",
                expected: format!(
                    "NAME=COLUMN for {}, as in text=review,label=sentiment: JSON names its own columns",
                    path.display()
                ),
                found: columns.join(","),
            });
        }
    };
    notes.extend(table.notes);
    Ok(Table { notes, ..table })
}

/// The text of a file with nothing but line feeds at the ends of its lines, and what stands out about it.
fn plain(
    path: &Path,
    bytes: Vec<u8>,
    encoding: Option<Encoding>,
) -> Result<(String, Vec<ReadNote>), TrainError> {
    let (mut text, encoding) = decode(path, bytes, encoding)?;
    let named = encoding.map(|encoding| ReadNote::Encoding {
        encoding: encoding.name(),
    });
    let mut notes: Vec<ReadNote> = named.into_iter().collect();
    if text.contains('\r') && !text.contains('\n') {
        text = text.replace('\r', "\n");
    }
    let marks = text.matches("\n\u{feff}").count();
    if marks > 0 {
        text = text.replace("\n\u{feff}", "\n");
        notes.push(ReadNote::Marks { lines: marks });
    }
    if text.starts_with('\u{feff}') {
        text.drain(..'\u{feff}'.len_utf8());
    }
    Ok((text, notes))
}

fn refuse_long_lines(path: &Path, text: &str, max_line: usize) -> Result<(), TrainError> {
    for (index, line) in text.split('\n').enumerate() {
        if line.len() > max_line {
            return Err(TableError::LongLine {
                path: path.to_path_buf(),
                line: index as u64 + 1,
                bytes: line.len(),
                limit: max_line,
            }
            .into());
        }
    }
    Ok(())
}

fn empty(path: &Path) -> TrainError {
    TrainError::Empty {
        path: path.to_path_buf(),
    }
}
