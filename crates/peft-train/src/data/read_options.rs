//! How a data file is read.

use super::encoding::Encoding;
use super::roles::Roles;
use super::table::{Format, Quoting};

/// How a data file is read.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadOptions {
    /// The format; `None` takes it from the extension.
    pub format: Option<Format>,
    /// What a double quote means in CSV and TSV.
    pub quoting: Quoting,
    /// What stands between the cells of CSV and TSV; `None` finds out, unless the format is given.
    pub separator: Option<char>,
    /// The encoding of a text without a byte order mark; `None` is UTF-8.
    pub encoding: Option<Encoding>,
    /// The names of the columns of a CSV or TSV file, in order; an empty name or `_` skips a column.
    pub columns: Option<Vec<String>>,
    /// Other names for columns, (name, column of the file), whatever the format.
    pub renamed: Vec<(String, String)>,
    /// Whether the first row of a CSV or TSV file is a header; `None` finds out: it is one when a cell is one of
    /// `wanted` or a column that gets another name, or, with `columns`, the name of its own column (ASCII case ignored). With `columns` a
    /// first row that looks like a header of other names is an error.
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
            separator: None,
            encoding: None,
            columns: None,
            renamed: vec![],
            header: None,
            wanted: Roles::default().names(),
            max_line: 16 << 20,
        }
    }
}
