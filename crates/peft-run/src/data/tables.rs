//! Tables of a run, or of a verb that reads what a run has read.

use std::path::Path;

use peft_train::TrainError;
use peft_train::data::{ReadOptions, Table, read_table};

use super::Columns;
use crate::Result;
use crate::settings::DataConfig;

/// Reads one data file.
///
/// # Errors
/// When it cannot be read, with the place.
pub fn table(config: &DataConfig, path: &Path) -> Result<Table> {
    table_with(config, path, config.roles.names())
}

/// Reads one data file whose header has some of the columns `wanted`.
///
/// # Errors
/// As [`table`].
pub fn table_with(config: &DataConfig, path: &Path, mut wanted: Vec<String>) -> Result<Table> {
    let columns = Columns::of(config.columns.as_deref())?;
    let renamed = columns.renamed.iter().chain(&config.renamed_in_run);
    wanted.extend(renamed.map(|(_, column)| column.clone()));
    // Whoever says what the columns of the header are says that there is one.
    let has_header = (!columns.renamed.is_empty()).then_some(true);
    let options = ReadOptions {
        format: config.format,
        quoting: config.quoting,
        separator: config.separator,
        encoding: config.encoding,
        columns: columns.named,
        renamed: columns.renamed,
        header: config.header.or(has_header),
        wanted,
        ..ReadOptions::default()
    };
    let mut table = match (read_table(path, &options), &config.columns_of_run) {
        (Err(TrainError::NoHeader { .. }), Some(columns)) => {
            log::info!(
                "{}: no header; its columns are taken to be those of the run: {}",
                path.display(),
                columns.join(",")
            );
            let columns = Some(columns.clone());
            read_table(path, &ReadOptions { columns, ..options })?
        }
        (read, _) => read?,
    };
    table.rename_present(&config.renamed_in_run)?;
    for note in &table.notes {
        log::info!("{}: {note}", path.display());
    }
    Ok(table)
}
