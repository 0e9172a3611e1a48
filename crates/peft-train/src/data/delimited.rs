//! CSV and TSV: rows of cells, a header or given column names, and a table of the named columns.

use std::path::Path;

use serde_json::Value;

use super::header::looks_like_header;
use super::problem::{Problems, shorten};
use super::quotes::{Broken, Quotes};
use super::read_options::ReadOptions;
use super::row_fault::RowFault;
use super::separator::{named, separator};
use super::table::{Format, Quoting, ReadNote, Row, Table};
use super::table_error::TableError;
use crate::TrainError;

/// The cells of one row and the line on which it begins.
struct RawRow {
    line: u64,
    cells: Vec<String>,
}

/// Which cells of a row become columns.
struct Layout {
    /// (index of the cell, name of the column)
    named: Vec<(usize, String)>,
    /// How many cells the named columns need.
    needed: usize,
    /// How many cells a row may have, when a header says so.
    allowed: Option<usize>,
}

/// Reads the text of a CSV or TSV file.
pub(super) fn read(
    path: &Path,
    text: &str,
    format: Format,
    options: &ReadOptions,
) -> Result<Table, TrainError> {
    let usual = if format == Format::Csv { ',' } else { '\t' };
    let (separator, from) = match (options.separator, named(text)) {
        (Some(given), _) => (given, 0),
        (None, Some(named)) => named,
        (None, None) if options.format.is_some() => (usual, 0),
        (None, None) => (separator(text, usual), 0),
    };
    let mut notes = Vec::new();
    if separator != usual && options.separator.is_none() {
        notes.push(ReadNote::Separator { separator });
    }
    let quoted = match options.quoting {
        Quoting::None => false,
        Quoting::Double => true,
        Quoting::Auto if separator != '\t' => true,
        Quoting::Auto => {
            let quoted = Quotes::of(&text[from..], separator).enclose_cells();
            notes.extend(quoted.then_some(ReadNote::QuotedCells));
            quoted
        }
    };
    let mut rows = if quoted {
        // Quotes that were found to enclose cells of a tabbed file are whole.
        if separator != '\t' || options.quoting == Quoting::Double {
            refuse_lone_quotes(path, text, separator)?;
        }
        quoted_rows(path, text, separator)?
    } else {
        plain_rows(text, separator)
    };
    if from > 0 {
        rows.retain(|row| row.line > 1);
    }
    let (layout, skip) = match &options.columns {
        Some(names) => given_layout(path, names, &rows, options)?,
        None => (header_layout(path, rows.first(), options)?, true),
    };
    if skip && !rows.is_empty() {
        let header = rows.remove(0);
        let before = rows.len();
        // Files that were put one after the other bring their headers along.
        rows.retain(|row| row.cells != header.cells);
        let repeated = before - rows.len();
        notes.extend((repeated > 0).then_some(ReadNote::RepeatedHeader { rows: repeated }));
    }
    let table = collect(path, rows, layout)?;
    Ok(Table { notes, ..table })
}

/// A quoted cell over several lines that goes on after its closing quote was never meant to be one: a text begins with a quote, and so
/// does one of the rows below, and everything between them would become one cell.
fn refuse_lone_quotes(path: &Path, text: &str, separator: char) -> Result<(), TrainError> {
    match Quotes::of(text, separator).broken {
        Some(Broken {
            lines,
            closed: true,
        }) if lines.end > lines.start => Err(TableError::LoneQuote {
            path: path.to_path_buf(),
            line: lines.start,
            end: lines.end,
        }
        .into()),
        _ => Ok(()),
    }
}

fn is_blank(cells: &[String]) -> bool {
    matches!(cells, [] | [_]) && cells.iter().all(|cell| cell.trim().is_empty())
}

/// Rows without quoting: a line is a row.
fn plain_rows(text: &str, separator: char) -> Vec<RawRow> {
    let rows = text.lines().enumerate().map(|(index, line)| RawRow {
        line: index as u64 + 1,
        cells: line.split(separator).map(str::to_string).collect(),
    });
    rows.filter(|row| !is_blank(&row.cells)).collect()
}

/// Rows with RFC 4180 quoting: a quoted cell may span lines.
fn quoted_rows(path: &Path, text: &str, separator: char) -> Result<Vec<RawRow>, TrainError> {
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(separator as u8)
        .has_headers(false)
        .flexible(true)
        .from_reader(text.as_bytes());
    let mut rows: Vec<RawRow> = Vec::new();
    let (mut line, mut counted, mut start) = (1, 0, 0);
    let mut record = csv::StringRecord::new();
    let broken = |line, byte, error: csv::Error| {
        let found = error.to_string();
        TableError::NotText {
            path: path.to_path_buf(),
            line,
            byte,
            found,
            help: "convert the file to UTF-8",
        }
    };
    while reader
        .read_record(&mut record)
        .map_err(|error| broken(line, counted, error))?
    {
        // The record begins after the line ends and blank lines that the reader skipped.
        let at = record
            .position()
            .map_or(0, |position| position.byte() as usize);
        let blank = text[at..].len() - text[at..].trim_start_matches(['\r', '\n']).len();
        start = at + blank;
        line += text[counted..start].matches('\n').count() as u64;
        counted = start;
        let cells: Vec<String> = record.iter().map(str::to_string).collect();
        if !is_blank(&cells) {
            rows.push(RawRow { line, cells });
        }
    }
    if ends_in_quotes(&text[start..], separator) {
        return Err(TableError::OpenQuote {
            path: path.to_path_buf(),
            line,
        }
        .into());
    }
    Ok(rows)
}

/// Whether the last record of a file, `record`, opens a quote that it does not close.
fn ends_in_quotes(record: &str, separator: char) -> bool {
    let (mut inside, mut cell_start) = (false, true);
    let mut chars = record.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if inside && chars.peek() == Some(&'"') => {
                chars.next();
            }
            '"' if inside => inside = false,
            '"' if cell_start => inside = true,
            _ => {}
        }
        cell_start = !inside && (c == separator || c == '\n' || c == '\r');
    }
    inside
}

fn is_skipped(name: &str) -> bool {
    name.is_empty() || name == "_"
}

/// The layout of given column names, and whether the first row is a header to be skipped.
fn given_layout(
    path: &Path,
    names: &[String],
    rows: &[RawRow],
    options: &ReadOptions,
) -> Result<(Layout, bool), TrainError> {
    let layout = layout(names.iter().map(|name| name.trim()), None);
    let mut sorted: Vec<_> = layout
        .named
        .iter()
        .map(|(_, n)| n.to_ascii_lowercase())
        .collect();
    sorted.sort();
    if layout.named.is_empty() || sorted.windows(2).any(|two| two[0] == two[1]) {
        return Err(TrainError::Option {
            option: "columns",
            expected: "at least one name, none of them twice".to_string(),
            found: names.join(","),
        });
    }
    let repeats_name = |row: &RawRow| {
        layout.named.iter().any(|(index, name)| {
            row.cells
                .get(*index)
                .is_some_and(|cell| cell.trim().eq_ignore_ascii_case(name))
        })
    };
    let skip = match (options.header, rows.first()) {
        (Some(header), _) => header,
        (None, Some(first)) if repeats_name(first) => true,
        (None, _) => {
            refuse_header(path, &layout, rows)?;
            false
        }
    };
    Ok((layout, skip))
}

/// Refuses a first row that looks like a header of other names: whether it is one only the user knows.
fn refuse_header(path: &Path, layout: &Layout, rows: &[RawRow]) -> Result<(), TrainError> {
    let cells: Vec<&[String]> = rows.iter().map(|row| row.cells.as_slice()).collect();
    let columns: Vec<usize> = layout.named.iter().map(|(index, _)| *index).collect();
    if !looks_like_header(&cells, &columns) {
        return Ok(());
    }
    let named = layout.named.iter();
    let renamed = named.map(|(at, name)| format!("{name}={}", rows[0].cells[*at].trim()));
    Err(TableError::HeaderAsRow {
        path: path.to_path_buf(),
        line: rows[0].line,
        found: columns
            .iter()
            .map(|at| shorten(&rows[0].cells[*at]))
            .collect(),
        renamed: renamed.collect::<Vec<_>>().join(","),
    }
    .into())
}

/// The layout that the first row, a header, describes.
fn header_layout(
    path: &Path,
    first: Option<&RawRow>,
    options: &ReadOptions,
) -> Result<Layout, TrainError> {
    let Some(row) = first else {
        return Err(TrainError::Empty {
            path: path.to_path_buf(),
        });
    };
    let is_wanted = |cell: &String| {
        options
            .wanted
            .iter()
            .any(|wanted| cell.trim().eq_ignore_ascii_case(wanted))
    };
    let is_header = options
        .header
        .unwrap_or_else(|| row.cells.iter().any(is_wanted));
    if !is_header {
        return Err(TrainError::NoHeader {
            path: path.to_path_buf(),
            line: row.line,
            expected: options.wanted.clone(),
            found: row.cells.iter().map(|cell| shorten(cell)).collect(),
        });
    }
    Ok(layout(
        row.cells.iter().map(|cell| cell.trim()),
        Some(row.cells.len()),
    ))
}

fn layout<'a>(names: impl Iterator<Item = &'a str>, allowed: Option<usize>) -> Layout {
    let named: Vec<_> = names
        .enumerate()
        .filter(|(_, name)| !is_skipped(name))
        .map(|(index, name)| (index, name.to_string()))
        .collect();
    let needed = named.last().map_or(0, |(index, _)| index + 1);
    Layout {
        named,
        needed,
        allowed,
    }
}

fn collect(path: &Path, rows: Vec<RawRow>, layout: Layout) -> Result<Table, TrainError> {
    let columns: Vec<String> = layout.named.iter().map(|(_, name)| name.clone()).collect();
    let mut problems = Problems::default();
    let mut kept = Vec::with_capacity(rows.len());
    for mut row in rows {
        let found = row.cells.len();
        // Cells beyond a header are a cell with an unquoted separator, unless a spreadsheet left them empty.
        let filled = row
            .cells
            .iter()
            .rposition(|cell| !cell.is_empty())
            .map_or(0, |last| last + 1);
        if found < layout.needed {
            let columns = columns.join(",");
            let fault = RowFault::TooFewCells {
                expected: layout.needed,
                found,
                columns,
            };
            problems.push(row.line, fault);
        } else if let Some(expected) = layout.allowed.filter(|&allowed| filled > allowed) {
            problems.push(row.line, RowFault::TooManyCells { expected, found });
        } else {
            let take = |(index, _): &(usize, String)| {
                Value::String(std::mem::take(&mut row.cells[*index]))
            };
            kept.push(Row {
                line: row.line,
                cells: layout.named.iter().map(take).collect(),
            });
        }
    }
    problems.finish(path)?;
    Ok(Table {
        path: path.to_path_buf(),
        columns,
        rows: kept,
        notes: vec![],
    })
}
