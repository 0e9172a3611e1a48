//! Forms in which people have their tables: encodings, packed files, separators, quotes, JSON by either ending.

#![allow(
    clippy::unwrap_used,
    reason = "a panic in a test helper is the failure report"
)]

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use peft_train::TrainError;
use peft_train::data::{Quoting, ReadNote, ReadOptions, Table, TableError, read_table, read_text};

fn read_with(
    name: &str,
    content: impl AsRef<[u8]>,
    options: &ReadOptions,
) -> Result<Table, TrainError> {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    read_table(&path, options)
}

fn read(name: &str, content: impl AsRef<[u8]>) -> Result<Table, TrainError> {
    read_with(name, content, &ReadOptions::default())
}

/// Texts and labels, row by row.
fn rows(table: &Table) -> Vec<(String, String)> {
    let text = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let at = |name: &str| table.column(name).unwrap().unwrap();
    let (texts, labels) = (at("text"), at("label"));
    let cells = table.rows.iter().map(|row| &row.cells);
    cells
        .map(|cells| (text(&cells[texts]), text(&cells[labels])))
        .collect()
}

fn expect(table: &Table, expected: &[(&str, &str)]) {
    let expected: Vec<(String, String)> = expected
        .iter()
        .map(|(text, label)| (text.to_string(), label.to_string()))
        .collect();
    assert_eq!(rows(table), expected);
}

fn utf16(text: &str, bytes_of: fn(u16) -> [u8; 2]) -> Vec<u8> {
    let mark = std::iter::once(0xfeff);
    mark.chain(text.encode_utf16()).flat_map(bytes_of).collect()
}

fn packed(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

const CSV: &str = "text,label\ncaf\u{e9} \u{1f600},1\nna\u{ef}ve,0\n";
const ROWS: [(&str, &str); 2] = [("caf\u{e9} \u{1f600}", "1"), ("na\u{ef}ve", "0")];

#[test]
fn texts_of_either_byte_order_and_of_every_line_end_are_the_same() {
    for content in [
        CSV.as_bytes().to_vec(),
        format!("\u{feff}{CSV}").into_bytes(),
        CSV.replace('\n', "\r\n").into_bytes(),
        CSV.replace('\n', "\r").into_bytes(),
        utf16(CSV, u16::to_le_bytes),
        utf16(CSV, u16::to_be_bytes),
        utf16(&CSV.replace('\n', "\r\n"), u16::to_le_bytes),
        packed(CSV.as_bytes()),
        packed(&utf16(CSV, u16::to_le_bytes)),
    ] {
        expect(&read("a.csv", &content).unwrap(), &ROWS);
        expect(&read("a.csv.gz", &content).unwrap(), &ROWS);
    }
    let utf16 = read("a.csv", utf16(CSV, u16::to_le_bytes)).unwrap();
    let encoding = "utf-16le".to_string();
    assert_eq!(utf16.notes, [ReadNote::Encoding { encoding }]);
}

#[test]
fn another_encoding_is_refused_with_its_place_and_read_when_it_is_named() {
    let content = b"text,label\nplain,1\ncaf\xe9 \x80,0\n";
    let message = read("a.csv", content).unwrap_err().to_string();
    assert!(
        message.contains("line 3, byte 22") && message.contains("--encoding windows-1252"),
        "{message}"
    );
    for name in ["windows-1252", "latin-1", "cp1252"] {
        let options = ReadOptions {
            encoding: Some(name.parse().unwrap()),
            ..ReadOptions::default()
        };
        let table = read_with("a.csv", content, &options).unwrap();
        expect(&table, &[("plain", "1"), ("caf\u{e9} \u{20ac}", "0")]);
    }
    let japanese = ReadOptions {
        encoding: Some("shift_jis".parse().unwrap()),
        ..ReadOptions::default()
    };
    let table = read_with("a.csv", b"text,label\n\x93\xfa\x96{,1\n", &japanese).unwrap();
    expect(&table, &[("\u{65e5}\u{672c}", "1")]);
    let broken = read_with("a.csv", b"text,label\nok,1\n\x93\n,1\n", &japanese).unwrap_err();
    assert!(broken.to_string().contains("line 3, byte 16"), "{broken}");
    assert!("klingon".parse::<peft_train::data::Encoding>().is_err());
}

#[test]
fn sixteen_bits_without_a_mark_are_asked_about() {
    let content = &utf16(CSV, u16::to_le_bytes)[2..];
    let message = read("a.csv", content).unwrap_err().to_string();
    assert!(message.contains("--encoding utf-16le"), "{message}");
    let options = ReadOptions {
        encoding: Some("utf-16le".parse().unwrap()),
        ..ReadOptions::default()
    };
    expect(&read_with("a.csv", content, &options).unwrap(), &ROWS);
    let odd = &utf16(CSV, u16::to_le_bytes)[..21];
    assert!(matches!(
        read("a.csv", odd).unwrap_err(),
        TrainError::Table(TableError::NotText { .. })
    ));
}

#[test]
fn marks_and_headers_of_files_put_one_after_the_other_are_skipped_and_counted() {
    let one = format!("\u{feff}{CSV}");
    let table = read("a.csv", one.repeat(3)).unwrap();
    expect(&table, &ROWS.repeat(3));
    assert_eq!(
        table.notes,
        [
            ReadNote::Marks { lines: 2 },
            ReadNote::RepeatedHeader { rows: 2 }
        ]
    );
}

#[test]
fn separators_are_found_out_or_named() {
    let content = "text;label\na, b, c;1\n\"d; e\";0\n";
    let table = read("a.csv", content).unwrap();
    expect(&table, &[("a, b, c", "1"), ("d; e", "0")]);
    assert_eq!(table.notes, [ReadNote::Separator { separator: ';' }]);
    expect(
        &read("a.tsv", "text,label\na b,1\n").unwrap(),
        &[("a b", "1")],
    );
    expect(
        &read("a.txt", "text|label\na b|1\n").unwrap(),
        &[("a b", "1")],
    );
    expect(
        &read("a.csv", "sep=^\r\ntext^label\r\na;b^1\r\n").unwrap(),
        &[("a;b", "1")],
    );
    let named = ReadOptions {
        separator: Some('~'),
        ..ReadOptions::default()
    };
    expect(
        &read_with("a.csv", "text~label\na,b~1\n", &named).unwrap(),
        &[("a,b", "1")],
    );
}

#[test]
fn quotes_around_cells_of_tsv_are_taken_off_where_the_whole_file_is_written_so() {
    let content = "text\tlabel\n\"a\tb\"\t1\n\"she said \"\"no\"\"\"\t0\n";
    let table = read("a.tsv", content).unwrap();
    expect(&table, &[("a\tb", "1"), ("she said \"no\"", "0")]);
    assert_eq!(table.notes, [ReadNote::QuotedCells]);
    let kept = ReadOptions {
        quoting: Quoting::None,
        ..ReadOptions::default()
    };
    let table = read_with("a.tsv", "text\tlabel\n\"a b\"\t1\n\"c\"\t0\n", &kept).unwrap();
    expect(&table, &[("\"a b\"", "1"), ("\"c\"", "0")]);
    let texts = read("a.tsv", "text\tlabel\n\"a b\"\t1\n\"c\" , d\t0\n").unwrap();
    expect(&texts, &[("\"a b\"", "1"), ("\"c\" , d", "0")]);
}

#[test]
fn a_lone_quote_does_not_swallow_the_rows_below_it() {
    let content = "text,label\n\"Hello,1\nfine,0\n\"World,0\n";
    let message = read("a.csv", content).unwrap_err().to_string();
    assert!(
        message.contains("line 2") && message.contains("--quoting none"),
        "{message}"
    );
    let plain = ReadOptions {
        quoting: Quoting::None,
        ..ReadOptions::default()
    };
    let table = read_with("a.csv", content, &plain).unwrap();
    expect(&table, &[("\"Hello", "1"), ("fine", "0"), ("\"World", "0")]);
}

#[test]
fn json_is_read_by_what_it_holds_whatever_it_is_called() {
    let lines = "{\"text\": \"a\", \"label\": 1}\n{\"text\": \"b\", \"label\": 0}\n";
    let array = "[{\"text\": \"a\", \"label\": 1},\n {\"text\": \"b\", \"label\": 0}]";
    let spread = "{\n \"text\": \"a\",\n \"label\": 1\n}\n{\n \"text\": \"b\",\n \"label\": 0\n}\n";
    for content in [lines, array, spread] {
        for name in ["a.json", "a.jsonl", "a.ndjson", "a.json.gz"] {
            let content = match name.ends_with("gz") {
                true => packed(content.as_bytes()),
                false => content.as_bytes().to_vec(),
            };
            expect(&read(name, content).unwrap(), &[("a", "1"), ("b", "0")]);
        }
    }
    let table = read("a.json", spread).unwrap();
    assert_eq!(table.rows[1].line, 5);
}

#[test]
fn one_object_around_the_rows_is_named_with_the_way_out() {
    let message = |content: &str| read("a.json", content).unwrap_err().to_string();
    let wrapped = "{\"version\": 1, \"data\": [{\"text\": \"a\", \"label\": 1}, {\"text\": \"b\", \"label\": 0}]}";
    let said = message(wrapped);
    assert!(
        said.contains("`data` is a list of 2 objects") && said.contains("jq .data"),
        "{said}"
    );
    let columns = "{\"text\": {\"0\": \"a\", \"1\": \"b\"}, \"label\": {\"0\": 1, \"1\": 0}}";
    assert!(message(columns).contains("orient=\"records\""));
    // A conversation in one row is a row.
    let chat = "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}]}";
    let options = ReadOptions {
        wanted: vec!["messages".into()],
        ..ReadOptions::default()
    };
    assert_eq!(read_with("a.json", chat, &options).unwrap().rows.len(), 1);
}

#[test]
fn files_that_are_no_tables_are_told_by_what_they_are() {
    for (content, what) in [
        (&b"PK\x03\x04rest"[..], "Excel"),
        (b"\x28\xb5\x2f\xfdrest", "zstd"),
        (b"%PDF-1.7", "PDF"),
    ] {
        let message = read("a.csv", content).unwrap_err().to_string();
        assert!(message.contains(what), "{message}");
    }
    let cut = &packed(CSV.repeat(100).as_bytes())[..60];
    assert!(matches!(
        read("a.csv.gz", cut).unwrap_err(),
        TrainError::Read { .. }
    ));
}

#[test]
fn plain_text_is_read_in_the_same_way() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("a.txt");
    std::fs::write(&path, packed(&utf16("one\r\ntwo", u16::to_le_bytes))).unwrap();
    assert_eq!(read_text(&path, None).unwrap(), "one\r\ntwo");
}
