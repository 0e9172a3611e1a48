//! A data file in memory: named columns, and rows that know their line.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::TrainError;

/// The extensions that name a format.
const EXTENSIONS: &str =
    "csv, tsv, txt (tab-separated), jsonl, ndjson, json, parquet, each also packed (.gz)";

/// The format of a data file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Cells separated by commas.
    Csv,
    /// Cells separated by tabs.
    Tsv,
    /// One JSON object per line, or an array of them.
    Jsonl,
    /// An array of JSON objects, or one object per line.
    Json,
    /// Columns of Apache Parquet.
    Parquet,
}

impl Format {
    /// The format that the extension of `path` names, in any case, `.gz` behind it not counted: csv, tsv, tab and txt (as tsv), jsonl,
    /// ndjson, json, parquet.
    ///
    /// # Errors
    /// [`TrainError::UnknownFormat`] for every other extension.
    pub fn from_path(path: &Path) -> Result<Self, TrainError> {
        let packed = path
            .extension()
            .is_some_and(|end| end.eq_ignore_ascii_case("gz"));
        let name = if packed {
            path.with_extension("")
        } else {
            path.to_path_buf()
        };
        let extension = name
            .extension()
            .and_then(|e| e.to_str())
            .unwrap_or_default();
        match extension.to_ascii_lowercase().as_str() {
            "csv" => Ok(Self::Csv),
            "tsv" | "tab" | "txt" => Ok(Self::Tsv),
            "jsonl" | "ndjson" | "jsonlines" => Ok(Self::Jsonl),
            "json" => Ok(Self::Json),
            "parquet" | "pq" => Ok(Self::Parquet),
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
            "parquet" => Ok(Self::Parquet),
            _ => Err(TrainError::Option {
                option: "format",
                expected: "csv, tsv, jsonl, json or parquet".to_string(),
                found: text.to_string(),
            }),
        }
    }
}

/// What a double quote means in CSV and TSV.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Quoting {
    /// `Double`, but where tabs stand between the cells only if the whole file is written so: real data sets of that kind are full of
    /// lone quotes.
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

/// What a reader of a data file should know of how it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "note", rename_all = "snake_case")]
#[non_exhaustive]
pub enum ReadNote {
    /// The text is in another encoding than UTF-8.
    #[error("read as {encoding}")]
    Encoding {
        /// Its name.
        encoding: String,
    },
    /// The cells are separated by another character than the name of the file says.
    #[error("cells are separated by {}", spelt(*separator))]
    Separator {
        /// The character.
        separator: char,
    },
    /// The quotes of a tab-separated file enclose cells.
    #[error(
        "quotes around cells are taken off, as the whole file is written so (--quoting none keeps them)"
    )]
    QuotedCells,
    /// The header stands in the file again.
    #[error("{rows} row(s) that repeat the header skipped")]
    RepeatedHeader {
        /// How many times.
        rows: usize,
    },
    /// Byte order marks at the beginning of later lines, as of files that were put one after the other.
    #[error("{lines} byte order mark(s) inside the file skipped")]
    Marks {
        /// How many.
        lines: usize,
    },
}

fn spelt(separator: char) -> String {
    match separator {
        '\t' => "tabs".to_owned(),
        other => format!("`{other}`"),
    }
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
    /// What stands out about how it was read.
    pub notes: Vec<ReadNote>,
}

impl Table {
    /// Gives columns other names, (name, column of the file); a column that has such a name already is set aside.
    ///
    /// # Errors
    /// [`TrainError::MissingColumn`] when a column is not there, [`TrainError::TwoColumns`] when it stands twice.
    pub fn rename(&mut self, names: &[(String, String)]) -> Result<(), TrainError> {
        let mut renamed = Vec::with_capacity(names.len());
        for (name, column) in names {
            let at = self
                .column(column)?
                .ok_or_else(|| TrainError::MissingColumn {
                    path: self.path.clone(),
                    expected: vec![column.clone()],
                    found: self.columns.clone(),
                })?;
            renamed.push((name, at));
        }
        for column in &mut self.columns {
            if names
                .iter()
                .any(|(name, _)| column.eq_ignore_ascii_case(name))
            {
                column.push_str(" (as in the file)");
            }
        }
        for (name, at) in renamed {
            self.columns[at].clone_from(name);
        }
        Ok(())
    }

    /// As [`Table::rename`], of the columns that are there.
    ///
    /// # Errors
    /// [`TrainError::TwoColumns`] when a column stands twice.
    pub fn rename_present(&mut self, names: &[(String, String)]) -> Result<(), TrainError> {
        let mut present = Vec::new();
        for (name, column) in names {
            if self.column(column)?.is_some() {
                present.push((name.clone(), column.clone()));
            }
        }
        self.rename(&present)
    }

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
