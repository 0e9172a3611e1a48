//! Rows of Apache Parquet files as JSON values.
#![doc = include_str!("../README.md")]

use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use serde_json::Value;

/// How a Parquet file begins and ends.
pub const MAGIC: &[u8] = b"PAR1";

/// A table as it stands in a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows {
    /// Names of the columns, in their order.
    pub columns: Vec<String>,
    /// The cells of each row, in the order of the columns; null where a cell is empty.
    pub rows: Vec<Vec<Value>>,
}

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Fewer bytes than the smallest file has.
    #[error("the file is cut short")]
    Short,
    /// What the reader says.
    #[error(transparent)]
    Parquet(#[from] ParquetError),
}

/// Reads every row of a file's bytes.
///
/// # Errors
/// A file that is cut short or broken, or packed in another way.
pub fn read(bytes: Vec<u8>) -> Result<Rows, ReadError> {
    if bytes.len() < 3 * MAGIC.len() {
        return Err(ReadError::Short);
    }
    let reader = SerializedFileReader::new(bytes::Bytes::from(bytes))?;
    let fields = reader.metadata().file_metadata().schema().get_fields();
    let columns = fields.iter().map(|field| field.name().to_owned()).collect();
    let rows = reader.get_row_iter(None)?.map(|row| {
        let fields = row?.into_columns().into_iter();
        Ok(fields.map(|(_, field)| value(field)).collect())
    });
    let rows = rows.collect::<Result<_, ParquetError>>()?;
    Ok(Rows { columns, rows })
}

/// Old writers do not say that a column of bytes is one of texts.
fn value(field: Field) -> Value {
    if let Field::Bytes(bytes) = &field
        && let Ok(text) = std::str::from_utf8(bytes.data())
    {
        return text.into();
    }
    field.to_json_value()
}
