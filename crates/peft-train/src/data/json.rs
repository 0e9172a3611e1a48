//! JSON Lines and JSON arrays of objects; the columns are the keys, in the order of their first appearance.

use std::path::Path;

use indexmap::IndexSet;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use super::causal_columns::CAUSAL_COLUMNS;
use super::problem::{Problems, kind};
use super::row_fault::RowFault;
use super::table::{Row, Table};
use crate::TrainError;

/// One object and its line.
type Object = (u64, Map<String, Value>);

/// Reads an array of objects, one object per line, or objects one after the other over any number of lines; `wanted` are names of columns.
pub(super) fn read(path: &Path, text: &str, wanted: &[String]) -> Result<Table, TrainError> {
    if is_array(text) {
        return read_array(path, text);
    }
    let table = match first_value(text) {
        Some(lines) if lines > 1 => read_values(path, text)?,
        _ => read_lines(path, text)?,
    };
    refuse_wrapped(&table, wanted)?;
    Ok(table)
}

/// Whether a text is an array, which is often written on one line.
pub(super) fn is_array(text: &str) -> bool {
    text.trim_start().starts_with('[')
}

/// How many lines the first value takes, where the text begins with one.
fn first_value(text: &str) -> Option<usize> {
    let text = text.trim_start();
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
    values.next()?.ok()?;
    Some(text[..values.byte_offset()].lines().count())
}

/// Refuses one object that holds the rows, or the columns, instead of being one.
fn refuse_wrapped(table: &Table, wanted: &[String]) -> Result<(), TrainError> {
    let [row] = table.rows.as_slice() else {
        return Ok(());
    };
    let usual = CAUSAL_COLUMNS.iter().copied();
    let is_known = |column: &str| {
        let mut names = wanted.iter().map(String::as_str).chain(usual.clone());
        names.any(|name| name.eq_ignore_ascii_case(column))
    };
    let cells = || table.columns.iter().zip(&row.cells);
    let mut known = cells().filter(|(name, _)| is_known(name)).peekable();
    let message = if known.peek().is_some() {
        if !known.all(|(_, value)| is_column(value)) {
            return Ok(());
        }
        "expected rows, found one object of columns; write one object per row (pandas: to_json with orient=\"records\")"
            .to_owned()
    } else {
        let inside = cells().filter_map(|(name, value)| Some((name, objects(value)?)));
        let Some((name, rows)) = inside.max_by_key(|(_, rows)| *rows) else {
            return Ok(());
        };
        format!(
            "expected rows, found one object whose `{name}` is a list of {rows} objects; write that list alone into a file: jq .{name}"
        )
    };
    Err(TrainError::Json {
        path: table.path.clone(),
        line: row.line,
        column: 1,
        message,
    })
}

/// Whether a value is all cells of a column: by their numbers, or in a list.
fn is_column(value: &Value) -> bool {
    match value {
        Value::Object(cells) => cells.keys().all(|key| key.parse::<usize>().is_ok()),
        Value::Array(cells) => {
            !cells.is_empty() && !cells.iter().any(|cell| cell.is_object() || cell.is_array())
        }
        _ => false,
    }
}

/// How many objects a list of nothing else holds.
fn objects(value: &Value) -> Option<usize> {
    let list = value.as_array().filter(|list| !list.is_empty())?;
    list.iter().all(Value::is_object).then_some(list.len())
}

/// Reads one object per line.
fn read_lines(path: &Path, text: &str) -> Result<Table, TrainError> {
    let mut problems = Problems::default();
    let mut objects = Vec::new();
    for (index, line) in text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
    {
        let number = index as u64 + 1;
        match serde_json::from_str(line) {
            Ok(value) => keep_object(number, value, &mut objects, &mut problems),
            Err(error) => {
                let fault = RowFault::Json {
                    column: error.column(),
                    message: message(&error),
                };
                problems.push(number, fault);
            }
        }
    }
    problems.finish(path)?;
    Ok(table(path, objects))
}

/// Reads values one after the other.
fn read_values(path: &Path, text: &str) -> Result<Table, TrainError> {
    let mut scan = Scan::new(path, text);
    let mut problems = Problems::default();
    let mut objects = Vec::new();
    scan.skip_space();
    while scan.peek().is_some() {
        let line = scan.line;
        let value = scan.value()?;
        keep_object(line, value, &mut objects, &mut problems);
        scan.skip_space();
    }
    problems.finish(path)?;
    Ok(table(path, objects))
}

/// Reads one array of objects, value by value, so that each keeps its line.
fn read_array(path: &Path, text: &str) -> Result<Table, TrainError> {
    let mut scan = Scan::new(path, text);
    scan.skip_space();
    scan.expect(
        '[',
        "an array of objects, which begins with [ (one object per line is jsonl)",
    )?;
    let mut problems = Problems::default();
    let mut objects = Vec::new();
    scan.skip_space();
    let mut more = scan.peek() != Some(']');
    while more {
        scan.skip_space();
        let line = scan.line;
        let value = scan.value()?;
        keep_object(line, value, &mut objects, &mut problems);
        scan.skip_space();
        more = scan.peek() == Some(',');
        if more {
            scan.advance(1);
        }
    }
    scan.expect(']', "a comma or the ] that ends the array")?;
    scan.skip_space();
    if scan.peek().is_some() {
        return Err(scan.broken(scan.at, "expected nothing after the array".to_string()));
    }
    problems.finish(path)?;
    Ok(table(path, objects))
}

/// A position in the text of an array.
struct Scan<'a> {
    path: &'a Path,
    text: &'a str,
    at: usize,
    line: u64,
    line_start: usize,
}

impl<'a> Scan<'a> {
    fn new(path: &'a Path, text: &'a str) -> Self {
        Self {
            path,
            text,
            at: 0,
            line: 1,
            line_start: 0,
        }
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn advance(&mut self, bytes: usize) {
        let end = self.at + bytes;
        for (index, _) in self.text[self.at..end].match_indices('\n') {
            self.line += 1;
            self.line_start = self.at + index + 1;
        }
        self.at = end;
    }

    fn skip_space(&mut self) {
        let rest = &self.text[self.at..];
        self.advance(rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len());
    }

    fn expect(&mut self, wanted: char, what: &str) -> Result<(), TrainError> {
        match self.peek() {
            Some(found) if found == wanted => {
                self.advance(wanted.len_utf8());
                Ok(())
            }
            Some(found) => Err(self.broken(self.at, format!("expected {what}, found `{found}`"))),
            None => Err(self.broken(
                self.at,
                format!("expected {what}, found the end of the file"),
            )),
        }
    }

    fn value(&mut self) -> Result<Value, TrainError> {
        let mut stream =
            serde_json::Deserializer::from_str(&self.text[self.at..]).into_iter::<Value>();
        match stream.next() {
            Some(Ok(value)) => {
                let used = stream.byte_offset();
                self.advance(used);
                Ok(value)
            }
            Some(Err(error)) => {
                let (line, column) = (self.line + error.line() as u64 - 1, error.column());
                let first = error.line() == 1;
                let column = if first {
                    column + self.at - self.line_start
                } else {
                    column
                };
                Err(self.broken_at(line, column, message(&error)))
            }
            None => Err(self.broken(self.at, "expected a value, found the end".to_string())),
        }
    }

    fn broken(&self, at: usize, message: String) -> TrainError {
        self.broken_at(self.line, at - self.line_start + 1, message)
    }

    fn broken_at(&self, line: u64, column: usize, message: String) -> TrainError {
        TrainError::Json {
            path: self.path.to_path_buf(),
            line,
            column,
            message,
        }
    }
}

fn keep_object(line: u64, value: Value, objects: &mut Vec<Object>, problems: &mut Problems) {
    match value {
        Value::Object(map) => objects.push((line, map)),
        other => problems.push(
            line,
            RowFault::NotAnObject {
                found: kind(&other),
            },
        ),
    }
}

/// The message of the parser without its own place, which counts from the start of the line or value.
fn message(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ")
        .next()
        .unwrap_or_default()
        .to_string()
}

fn table(path: &Path, objects: Vec<Object>) -> Table {
    let keys: IndexSet<String> = objects
        .iter()
        .flat_map(|(_, object)| object.keys().cloned())
        .collect();
    let row = |(line, mut object): Object| Row {
        line,
        cells: keys
            .iter()
            .map(|key| object.get_mut(key).map_or(Value::Null, Value::take))
            .collect(),
    };
    let rows = objects.into_iter().map(row).collect();
    Table {
        path: path.to_path_buf(),
        columns: keys.into_iter().collect(),
        rows,
        notes: vec![],
    }
}
