//! Apache Parquet: one row after the other; texts, numbers and truth values as they are, lists and groups as JSON has them.

use std::path::Path;

use super::table::Table;
use super::table_error::TableError;
use crate::TrainError;

/// How a Parquet file begins and ends.
const MAGIC: &[u8] = b"PAR1";

/// Whether these are the bytes of a Parquet file.
pub(super) fn is_parquet(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
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
    use super::table::Row;
    use parquet::file::reader::{ChunkReader, FileReader, SerializedFileReader};

    let failed = |error: parquet::errors::ParquetError| broken(path, error);
    let bytes = bytes::Bytes::from(bytes);
    if bytes.len() < 3 * MAGIC.len() {
        return Err(broken(path, "the file is cut short"));
    }
    let reader = SerializedFileReader::new(bytes).map_err(failed)?;
    let fields = reader.metadata().file_metadata().schema().get_fields();
    let columns = fields.iter().map(|field| field.name().to_owned()).collect();
    let mut rows = Vec::new();
    for (index, row) in reader.get_row_iter(None).map_err(failed)?.enumerate() {
        let fields = row.map_err(failed)?.into_columns().into_iter();
        rows.push(Row {
            line: index as u64 + 1,
            cells: fields.map(|(_, field)| value(field)).collect(),
        });
    }
    Ok(Table {
        path: path.to_path_buf(),
        columns,
        rows,
        notes: vec![],
    })
}

/// Old writers do not say that a column of bytes is one of texts.
#[cfg(feature = "parquet")]
fn value(field: parquet::record::Field) -> serde_json::Value {
    if let parquet::record::Field::Bytes(bytes) = &field
        && let Ok(text) = std::str::from_utf8(bytes.data())
    {
        return text.into();
    }
    field.to_json_value()
}

#[cfg(all(test, feature = "parquet"))]
#[allow(clippy::unwrap_used, reason = "a panic is the failure report")]
mod tests {
    use std::sync::Arc;

    use parquet::basic::{Compression, ZstdLevel};
    use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
    use parquet::file::properties::WriterProperties;
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;

    use super::*;

    fn file(compression: Compression) -> Vec<u8> {
        let schema = "message rows { OPTIONAL BINARY text (UTF8); REQUIRED BINARY raw; REQUIRED INT64 label; }";
        let schema = Arc::new(parse_message_type(schema).unwrap());
        let properties = WriterProperties::builder().set_compression(compression);
        let mut bytes = Vec::new();
        let mut writer =
            SerializedFileWriter::new(&mut bytes, schema, Arc::new(properties.build())).unwrap();
        let mut group = writer.next_row_group().unwrap();
        let texts = ["caf\u{e9}", "b"].map(ByteArray::from);
        let mut column = group.next_column().unwrap().unwrap();
        let text = column.typed::<ByteArrayType>();
        text.write_batch(&texts[..1], Some(&[1, 0]), None).unwrap();
        column.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let raw = column.typed::<ByteArrayType>();
        raw.write_batch(&texts, None, None).unwrap();
        column.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let label = column.typed::<Int64Type>();
        label.write_batch(&[1, 0], None, None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
        writer.close().unwrap();
        bytes
    }

    #[test]
    fn rows_come_back_whatever_packs_them() {
        let zstd = Compression::ZSTD(ZstdLevel::default());
        for compression in [Compression::UNCOMPRESSED, Compression::SNAPPY, zstd] {
            let table = read(Path::new("a.parquet"), file(compression)).unwrap();
            assert_eq!(table.columns, ["text", "raw", "label"]);
            let cells: Vec<_> = table.rows.iter().map(|row| row.cells.clone()).collect();
            let first = serde_json::json!(["caf\u{e9}", "caf\u{e9}", 1]);
            let second = serde_json::json!([null, "b", 0]);
            assert_eq!(serde_json::json!(cells), serde_json::json!([first, second]));
        }
    }

    #[test]
    fn a_broken_file_is_named() {
        let whole = file(Compression::SNAPPY);
        for bytes in [&whole[..7], &whole[..whole.len() / 2], b"PAR1 and text"] {
            let error = read(Path::new("a.parquet"), bytes.to_vec()).unwrap_err();
            assert!(error.to_string().contains("a.parquet: Parquet"), "{error}");
        }
    }
}
