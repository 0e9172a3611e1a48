//! Tables that were written with other packings, and broken ones.
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

use std::sync::Arc;

use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use peft_parquet::{MAGIC, read};
use serde_json::json;

fn file(compression: Compression) -> Vec<u8> {
    let schema =
        "message rows { OPTIONAL BINARY text (UTF8); REQUIRED BINARY raw; REQUIRED INT64 label; }";
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
        let table = read(file(compression)).unwrap();
        assert_eq!(table.columns, ["text", "raw", "label"]);
        let first = json!(["caf\u{e9}", "caf\u{e9}", 1]);
        let second = json!([null, "b", 0]);
        assert_eq!(json!(table.rows), json!([first, second]));
    }
}

#[test]
fn a_broken_file_is_an_error() {
    let whole = file(Compression::SNAPPY);
    for bytes in [&whole[..7], &whole[..whole.len() / 2], b"PAR1 and text"] {
        assert!(read(bytes.to_vec()).is_err());
    }
    assert!(whole.starts_with(MAGIC) && whole.ends_with(MAGIC));
}

fn golden(name: &str) -> Vec<u8> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");
    std::fs::read(std::path::Path::new(path).join(name)).unwrap()
}

#[test]
fn files_of_pyarrow_are_read_whatever_packs_them_and_an_unknown_packing_is_named() {
    for name in ["snappy", "gzip", "zstd", "none", "newer"] {
        let table = read(golden(&format!("{name}.parquet"))).unwrap();
        assert_eq!(table.columns, ["text", "label", "score"], "{name}");
        let expected = json!([
            ["a good film", "pos", 1.5],
            ["a dull film", "neg", -2.0],
            [null, "neg", 0.0],
            ["caf\u{e9}", "pos", null],
        ]);
        assert_eq!(json!(table.rows), expected, "{name}");
    }
    let error = read(golden("lz4.parquet")).unwrap_err().to_string();
    assert!(error.to_lowercase().contains("lz4"), "{error}");
}

#[test]
fn lists_of_groups_are_as_json_has_them() {
    let table = read(golden("chats.parquet")).unwrap();
    let said = &table.rows[0][0];
    assert_eq!(said[1], json!({"role": "assistant", "content": "was good"}));
    assert_eq!((table.rows.len(), said.as_array().unwrap().len()), (2, 2));
}
