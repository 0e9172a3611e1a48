//! A data file in memory: named columns, and rows that know their line.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::TrainError;

/// The extensions that name a format.
const EXTENSIONS: &str = "csv, tsv, txt (tab-separated), jsonl, ndjson, json";

/// The format of a data file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Cells separated by commas.
    Csv,
    /// Cells separated by tabs.
    Tsv,
    /// One JSON object per line.
    Jsonl,
    /// One JSON array of objects.
    Json,
}

impl Format {
    /// The format that the extension of `path` names: csv, tsv, txt (as tsv), jsonl, ndjson, json, in any case.
    ///
    /// # Errors
    /// [`TrainError::UnknownFormat`] for every other extension.
    pub fn from_path(path: &Path) -> Result<Self, TrainError> {
        let extension = path
            .extension()
            .and_then(|e| e.to_str())
            .unwrap_or_default();
        match extension.to_ascii_lowercase().as_str() {
            "csv" => Ok(Self::Csv),
            "tsv" | "txt" => Ok(Self::Tsv),
            "jsonl" | "ndjson" => Ok(Self::Jsonl),
            "json" => Ok(Self::Json),
            _ => Err(TrainError::UnknownFormat {
                path: path.to_path_buf(),
                extension: extension.to_string(),
                known: EXTENSIONS,
            }),
        }
    }
}

impl FromStr for Format {
    type Err = TrainError;

    fn from_str(text: &str) -> Result<Self, TrainError> {
        match text {
            "csv" => Ok(Self::Csv),
            "tsv" => Ok(Self::Tsv),
            "jsonl" => Ok(Self::Jsonl),
            "json" => Ok(Self::Json),
            _ => Err(TrainError::Option {
                option: "format",
                expected: "csv, tsv, jsonl or json".to_string(),
                found: text.to_string(),
            }),
        }
    }
}

/// What a double quote means in CSV and TSV.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Quoting {
    /// `Double` for CSV; `None` for TSV, whose real data sets are full of lone quotes.
    #[default]
    Auto,
    /// A quote is an ordinary character.
    None,
    /// RFC 4180: a cell may stand in quotes and contain separators, line ends and doubled quotes.
    Double,
}

impl FromStr for Quoting {
    type Err = TrainError;

    fn from_str(text: &str) -> Result<Self, TrainError> {
        match text {
            "auto" => Ok(Self::Auto),
            "none" => Ok(Self::None),
            "double" => Ok(Self::Double),
            _ => Err(TrainError::Option {
                option: "quoting",
                expected: "auto, none or double".to_string(),
                found: text.to_string(),
            }),
        }
    }
}

/// One row of a [`Table`].
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The line on which it begins, counted from 1.
    pub line: u64,
    /// One value per column of the table; a key that a JSON object lacks is null.
    pub cells: Vec<Value>,
}

/// A data file: at least one row, every row with one value per named column.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// The file it was read from, for messages.
    pub path: PathBuf,
    /// The named columns, in the order of the file.
    pub columns: Vec<String>,
    /// The rows, in the order of the file.
    pub rows: Vec<Row>,
}

impl Table {
    /// The index of the column `name`, compared without regard to ASCII case.
    ///
    /// # Errors
    /// [`TrainError::TwoColumns`] when two columns have this name.
    pub fn column(&self, name: &str) -> Result<Option<usize>, TrainError> {
        let mut found = self
            .columns
            .iter()
            .enumerate()
            .filter(|(_, c)| c.eq_ignore_ascii_case(name));
        let first = found.next().map(|(index, _)| index);
        if found.next().is_some() {
            return Err(TrainError::TwoColumns {
                path: self.path.clone(),
                column: name.to_string(),
            });
        }
        Ok(first)
    }
}
