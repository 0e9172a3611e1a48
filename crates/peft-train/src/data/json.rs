//! JSON Lines and JSON arrays of objects; the columns are the keys, in the order of their first appearance.

use std::path::Path;

use indexmap::IndexSet;
use serde_json::{Map, Value};

use super::problem::{Problems, RowFault};
use super::table::{Row, Table};
use crate::TrainError;

/// One object and its line.
type Object = (u64, Map<String, Value>);

/// Reads one object per line.
pub(super) fn read_lines(path: &Path, text: &str) -> Result<Table, TrainError> {
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

/// Reads one array of objects, value by value, so that each keeps its line.
pub(super) fn read_array(path: &Path, text: &str) -> Result<Table, TrainError> {
    let mut scan = Scan {
        path,
        text,
        at: 0,
        line: 1,
        line_start: 0,
    };
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

impl Scan<'_> {
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

/// The kind of a JSON value, in words.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
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
    }
}
