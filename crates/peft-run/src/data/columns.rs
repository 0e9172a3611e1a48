//! What `columns` says: names of columns in their order, or columns of the file under the names that the task reads.

use std::path::PathBuf;

use peft_core::file::input::{CONFIG_LIMIT, read_plain_text};
use peft_train::data::{CAUSAL_COLUMNS, Roles};

use crate::run::RUN_FILE;
use crate::settings::DataConfig;
use crate::{Error, Result};

/// Columns as they were given.
#[derive(Debug, Default)]
pub struct Columns {
    /// Names in the order of the file, which then needs no header.
    pub named: Option<Vec<String>>,
    /// (name, column of the file)
    pub renamed: Vec<(String, String)>,
}

impl Columns {
    /// `text,label`, or `text=review,label=sentiment`.
    ///
    /// # Errors
    /// When both are mixed, or a name is none that a task reads.
    pub fn of(given: Option<&[String]>) -> Result<Self> {
        let Some(given) = given else {
            return Ok(Self::default());
        };
        let pairs: Vec<Option<(String, String)>> = given.iter().map(|item| pair(item)).collect();
        if pairs.iter().all(Option::is_none) {
            return Ok(Self {
                named: Some(given.to_vec()),
                renamed: vec![],
            });
        }
        let Some(renamed) = pairs.into_iter().collect::<Option<Vec<_>>>() else {
            return Err(Error::Usage(format!(
                "--columns {}: expected all columns as NAME=COLUMN of a header, or all as names in their order",
                given.join(",")
            )));
        };
        renamed.iter().try_for_each(known)?;
        Ok(Self {
            named: None,
            renamed,
        })
    }
}

fn pair(item: &str) -> Option<(String, String)> {
    let (name, column) = item.split_once('=')?;
    Some((name.trim().to_owned(), column.trim().to_owned()))
}

fn known((name, column): &(String, String)) -> Result<()> {
    let names = || {
        let of_tables = Roles::default().names().into_iter();
        of_tables.chain(CAUSAL_COLUMNS.map(str::to_owned))
    };
    if names().any(|known| known.eq_ignore_ascii_case(name)) {
        return Ok(());
    }
    let turned = names().any(|known| known.eq_ignore_ascii_case(column));
    let hint = match turned {
        true => format!("; did you mean {column}={name}?"),
        false => String::new(),
    };
    let names: Vec<String> = names().collect();
    Err(Error::Usage(format!(
        "--columns {name}={column}: expected NAME=COLUMN with one of the names {}, as in text=review{hint}",
        names.join(", ")
    )))
}

impl DataConfig {
    /// The same with the columns and the length of texts of the run that made one of these adapters, where nothing was said of them: its
    /// run file lies beside it.
    #[must_use]
    pub fn with_columns_of_run<'a>(
        mut self,
        adapters: impl IntoIterator<Item = &'a PathBuf>,
    ) -> Self {
        let mut files = adapters.into_iter().map(|dir| dir.join(RUN_FILE));
        let Some(data) = files.find_map(|file| data_of_run(&file)) else {
            return self;
        };
        self.max_length = self.max_length.or(data.max_length);
        if self.columns.is_none()
            && let Ok(columns) = Columns::of(data.columns.as_deref())
        {
            self.roles = data.roles;
            self.columns_of_run = columns.named;
            self.renamed_in_run = columns.renamed;
        }
        self
    }
}

/// What a run file says of columns and lengths; a file that is not ours says nothing.
fn data_of_run(file: &std::path::Path) -> Option<DataConfig> {
    let text = read_plain_text(file, CONFIG_LIMIT).ok()?;
    let table: toml::Table = text.parse().ok()?;
    let data = table.get("data")?.as_table()?;
    let part: toml::Table = ["columns", "roles", "max_length"]
        .into_iter()
        .filter_map(|key| Some((key.to_owned(), data.get(key)?.clone())))
        .collect();
    toml::Value::Table(part).try_into().ok()
}
