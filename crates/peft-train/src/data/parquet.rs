//! Apache Parquet, where the program was built with it.

use std::path::Path;

use super::table::Table;
use super::table_error::TableError;
use crate::TrainError;

/// Whether these are the bytes of a Parquet file.
pub(super) fn is_parquet(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PAR1")
}

fn broken(path: &Path, message: impl ToString) -> TrainError {
    let message = message.to_string();
    TableError::Parquet {
        path: path.to_path_buf(),
        message,
    }
    .into()
}

/// Refuses every file: the reader is not built in.
#[cfg(not(feature = "parquet"))]
pub(super) fn read(path: &Path, _bytes: Vec<u8>) -> Result<Table, TrainError> {
    Err(broken(
        path,
        "this program was built without the feature `parquet`; build it with that, or write the file as JSON lines",
    ))
}

/// Reads every row; the line of a row is its number.
#[cfg(feature = "parquet")]
pub(super) fn read(path: &Path, bytes: Vec<u8>) -> Result<Table, TrainError> {
    let found = peft_parquet::read(bytes).map_err(|error| broken(path, error))?;
    let rows = found.rows.into_iter().zip(1..);
    Ok(Table {
        path: path.to_path_buf(),
        columns: found.columns,
        rows: rows
            .map(|(cells, line)| super::table::Row { line, cells })
            .collect(),
        notes: vec![],
    })
}
