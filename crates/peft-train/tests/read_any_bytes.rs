//! No reader panics, whatever the bytes; and what was written as CSV, TSV or JSONL comes back.

#![allow(
    clippy::unwrap_used,
    reason = "a panic in a test helper is the failure report"
)]

use std::io::Write;

use peft_train::data::{Format, Quoting, ReadOptions, read_table};
use proptest::prelude::*;

fn file(content: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(content).unwrap();
    file
}

fn options(format: Format, quoting: Quoting, named: bool) -> ReadOptions {
    let columns = named.then(|| vec!["text".to_string(), "label".to_string()]);
    ReadOptions {
        format: Some(format),
        quoting,
        columns,
        ..ReadOptions::default()
    }
}

fn read_every_way(content: &[u8]) {
    let file = file(content);
    for format in [Format::Csv, Format::Tsv, Format::Jsonl, Format::Json] {
        for quoting in [Quoting::None, Quoting::Double] {
            for named in [false, true] {
                if let Ok(table) = read_table(file.path(), &options(format, quoting, named)) {
                    assert!(!table.rows.is_empty());
                    assert!(
                        table
                            .rows
                            .iter()
                            .all(|row| row.cells.len() == table.columns.len())
                    );
                    assert!(table.rows.windows(2).all(|two| two[0].line <= two[1].line));
                } // An error is a right answer as well.
            }
        }
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(content in prop::collection::vec(any::<u8>(), 0..200)) {
        read_every_way(&content);
    }

    #[test]
    fn arbitrary_separators_quotes_and_brackets_never_panic(
        content in "(text,label\n|text\tlabel\r\n)?[a1é,\t\"\r\n\\[\\]{}:\u{feff} ]{0,80}"
    ) {
        read_every_way(content.as_bytes());
    }

    #[test]
    fn what_was_written_comes_back(
        texts in prop::collection::vec("[a-zé \",\r\n\t]{0,12}x", 1..20),
        quote_all in any::<bool>(),
    ) {
        let style = if quote_all { csv::QuoteStyle::Always } else { csv::QuoteStyle::Necessary };
        let mut writer = csv::WriterBuilder::new().quote_style(style).from_writer(Vec::new());
        let mut jsonl = String::new();
        writer.write_record(["text", "label"]).unwrap();
        for text in &texts {
            writer.write_record([text.as_str(), "1"]).unwrap();
            jsonl.push_str(&format!("{}\n", serde_json::json!({"text": text, "label": 1})));
        }
        let csv = file(&writer.into_inner().unwrap());
        let jsonl = file(jsonl.as_bytes());
        for (file, format) in [(csv, Format::Csv), (jsonl, Format::Jsonl)] {
            let table = read_table(file.path(), &options(format, Quoting::Auto, false)).unwrap();
            let read: Vec<_> = table.rows.iter().map(|row| row.cells[0].as_str().unwrap()).collect();
            prop_assert_eq!(&read, &texts);
        }
    }
}
