//! Reading data files: formats, headers, quotes, and the errors of files that are wrong.

#![allow(
    clippy::unwrap_used,
    reason = "a panic in a test helper is the failure report"
)]

use std::path::PathBuf;

use peft_train::TrainError;
use peft_train::data::{
    Format, Quoting, ReadNote, ReadOptions, RowFault, Table, TableError, read_table,
};
use tempfile::TempDir;

/// Writes `content` to a file called `name` and reads it.
fn read(name: &str, content: impl AsRef<[u8]>, options: &ReadOptions) -> Result<Table, TrainError> {
    let folder = TempDir::new().unwrap();
    let path: PathBuf = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    read_table(&path, options)
}

fn columns(names: &[&str]) -> ReadOptions {
    let columns = names.iter().map(ToString::to_string).collect();
    ReadOptions {
        columns: Some(columns),
        ..ReadOptions::default()
    }
}

/// The lines and cells of a table, cells as plain text.
fn rows(table: &Table) -> Vec<(u64, Vec<String>)> {
    let text = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    table
        .rows
        .iter()
        .map(|row| (row.line, row.cells.iter().map(text).collect()))
        .collect()
}

fn expect_rows(table: &Table, expected: &[(u64, &[&str])]) {
    let expected: Vec<(u64, Vec<String>)> = expected
        .iter()
        .map(|(line, cells)| (*line, cells.iter().map(ToString::to_string).collect()))
        .collect();
    assert_eq!(rows(table), expected);
}

#[test]
fn csv_with_bom_crlf_quotes_and_blank_lines_is_read_with_right_lines() {
    let content =
        "\u{feff}\"text\",label\r\n\r\n\"a, \"\"b\"\"\",x\r\n\"two\r\nlines\",y\r\n  \r\nlast,z";
    let table = read("a.csv", content, &ReadOptions::default()).unwrap();
    assert_eq!(table.columns, ["text", "label"]);
    expect_rows(
        &table,
        &[
            (3, &["a, \"b\"", "x"]),
            (4, &["two\r\nlines", "y"]),
            (7, &["last", "z"]),
        ],
    );
}

#[test]
fn tsv_takes_lone_quotes_as_they_are() {
    let content = "sentence\tlabel\n\"open\t1\nit 's \"fine\" \"\t0\n";
    let table = read("a.tsv", content, &ReadOptions::default()).unwrap();
    expect_rows(
        &table,
        &[(2, &["\"open", "1"]), (3, &["it 's \"fine\" \"", "0"])],
    );
    let quoted = ReadOptions {
        quoting: Quoting::Double,
        ..ReadOptions::default()
    };
    let table = read("a.tsv", "text\tlabel\n\"a\tb\"\t1\n", &quoted).unwrap();
    expect_rows(&table, &[(2, &["a\tb", "1"])]);
}

#[test]
fn named_columns_skip_and_ignore_the_others() {
    let content = "x\t1\t*\tgood\textra\nx\t0\t\tbad\n";
    let table = read("a.txt", content, &columns(&["_", "label", "", "text"])).unwrap();
    assert_eq!(table.columns, ["label", "text"]);
    expect_rows(&table, &[(1, &["1", "good"]), (2, &["0", "bad"])]);
}

#[test]
fn a_header_is_skipped_when_columns_are_named_and_when_asked() {
    let table = read(
        "a.csv",
        "Text,category\na,x\n",
        &columns(&["text", "label"]),
    )
    .unwrap();
    expect_rows(&table, &[(2, &["a", "x"])]);
    let options = ReadOptions {
        header: Some(true),
        ..columns(&["label", "text"])
    };
    let table = read("a.csv", "Quality,String\n1,a\n", &options).unwrap();
    expect_rows(&table, &[(2, &["1", "a"])]);
    let options = ReadOptions {
        header: Some(false),
        ..columns(&["text", "label"])
    };
    let table = read("a.csv", "text,1\n", &options).unwrap();
    expect_rows(&table, &[(1, &["text", "1"])]);
}

#[test]
fn every_row_of_a_wrong_width_is_reported_with_its_line() {
    let error = read(
        "a.tsv",
        "text\tlabel\na\t1\nb\nc\t1\t2\nd\t1\t\n",
        &ReadOptions::default(),
    );
    let Err(TrainError::Rows {
        problems, count, ..
    }) = error
    else {
        panic!("{error:?}")
    };
    assert_eq!(count, 2);
    let few = RowFault::TooFewCells {
        expected: 2,
        found: 1,
        columns: "text,label".to_string(),
    };
    assert_eq!((problems[0].line, &problems[0].fault), (3, &few));
    let many = RowFault::TooManyCells {
        expected: 2,
        found: 3,
    };
    assert_eq!((problems[1].line, &problems[1].fault), (4, &many));
}

#[test]
fn a_long_report_is_cut_but_counted() {
    let content = format!("text,label\n{}", "a\n".repeat(5000));
    let error = read("a.csv", content, &ReadOptions::default()).unwrap_err();
    let message = error.to_string();
    assert!(message.contains("5000 unusable row(s)") && message.contains("and 4990 more"));
    assert!(
        message.contains("line 2: expected 2 cells (text,label), found 1"),
        "{message}"
    );
    let TrainError::Rows { problems, .. } = error else {
        panic!("{error:?}")
    };
    assert_eq!(problems.len(), 100);
}

#[test]
fn a_file_without_header_asks_for_column_names() {
    let error = read("a.tsv", "nice film\t1\n", &ReadOptions::default()).unwrap_err();
    let TrainError::NoHeader { line: 1, found, .. } = &error else {
        panic!("{error:?}")
    };
    assert_eq!(found, &["nice film", "1"]);
}

#[test]
fn tabs_in_a_csv_are_read_and_unclosed_quotes_are_named() {
    let table = read("a.csv", "\n0.5\ta, b\tc\n", &columns(&["score", "text"])).unwrap();
    expect_rows(&table, &[(2, &["0.5", "a, b"])]);
    assert_eq!(table.notes, [ReadNote::Separator { separator: '\t' }]);
    let insisted = ReadOptions {
        format: Some(Format::Csv),
        ..columns(&["score", "text"])
    };
    let table = read("a.csv", "0.5\ta, b\tc\n", &insisted).unwrap();
    expect_rows(&table, &[(1, &["0.5\ta", " b\tc"])]);
    for open in ["\"never closed,1\nx,2\n", "\"a\"\"", "x,\""] {
        let content = format!("text,label\na,1\n{open}");
        let error = read("a.csv", content, &ReadOptions::default()).unwrap_err();
        assert!(
            matches!(
                error,
                TrainError::Table(TableError::OpenQuote { line: 3, .. })
            ),
            "{open}: {error:?}"
        );
    }
    for closed in ["\"a\"\"b\",1", "a\"b,1", "\"a\"\"\",1", "\"a\"b\"c,1"] {
        let content = format!("text,label\n{closed}\n");
        assert!(
            read("a.csv", content, &ReadOptions::default()).is_ok(),
            "{closed}"
        );
    }
}

#[test]
fn bytes_that_are_no_text_are_located() {
    let cases: [(&[u8], u64, usize, &str); 3] = [
        (b"text,label\na,1\ncaf\xe9,1\n", 3, 18, "the byte 0xe9"),
        (b"text,label\na\0,1\n", 2, 12, "a NUL byte"),
        (b"\xff\xfe\0\0t\0\0\0", 1, 0, "the mark of UTF-32"),
    ];
    for (content, at_line, at_byte, what) in cases {
        let error = read("a.csv", content, &ReadOptions::default()).unwrap_err();
        let TrainError::Table(TableError::NotText {
            line, byte, found, ..
        }) = &error
        else {
            panic!("{error:?}")
        };
        assert_eq!((*line, *byte, found.as_str()), (at_line, at_byte, what));
    }
}

#[test]
fn empty_missing_and_unknown_files_are_errors() {
    for (name, content) in [
        ("a.csv", ""),
        ("a.tsv", "\u{feff} \n"),
        ("a.csv", "text,label\n"),
        ("a.jsonl", "\n"),
        ("a.json", "[]"),
    ] {
        let error = read(name, content, &ReadOptions::default()).unwrap_err();
        assert!(
            matches!(error, TrainError::Empty { .. }),
            "{content:?}: {error:?}"
        );
    }
    let error = read("a.xlsx", "PK", &ReadOptions::default()).unwrap_err();
    assert!(
        error.to_string().contains("unknown data format `xlsx`"),
        "{error}"
    );
    let error = read_table(&PathBuf::from("nowhere.csv"), &ReadOptions::default()).unwrap_err();
    assert!(
        error.to_string().starts_with("nowhere.csv: cannot be read"),
        "{error}"
    );
}

#[test]
fn a_line_of_a_hundred_megabytes_is_refused() {
    let content = format!("text,label\n{},1\n", "a".repeat(100 << 20));
    for name in ["a.csv", "a.tsv", "a.jsonl"] {
        let error = read(name, &content, &ReadOptions::default()).unwrap_err();
        assert!(
            matches!(
                error,
                TrainError::Table(TableError::LongLine { line: 2, .. })
            ),
            "{error:?}"
        );
    }
}

#[test]
fn jsonl_collects_columns_and_reports_every_broken_line() {
    let content =
        "{\"text\": \"a\", \"label\": 1}\r\n\n{\"idx\": [1], \"label\": \"x\", \"text\": \"b\"}\n";
    let table = read("a.jsonl", content, &ReadOptions::default()).unwrap();
    assert_eq!(table.columns, ["text", "label", "idx"]);
    expect_rows(&table, &[(1, &["a", "1", "null"]), (3, &["b", "x", "[1]"])]);
    let content = "{\"text\": \"a\"}\n[1]\n{\"text\": \n";
    let error = read("a.jsonl", content, &ReadOptions::default());
    let Err(TrainError::Rows { problems, .. }) = error else {
        panic!("{error:?}")
    };
    assert_eq!(
        (problems[0].line, problems[1].line, problems.len()),
        (2, 3, 2)
    );
    assert_eq!(
        problems[0].fault,
        RowFault::NotAnObject { found: "an array" }
    );
    let message = "EOF while parsing a value".to_string();
    assert_eq!(problems[1].fault, RowFault::Json { column: 9, message });
}

#[test]
fn a_json_array_keeps_the_line_of_each_object() {
    let content =
        "\u{feff}[\n  {\"text\": \"a\",\n   \"label\": 0},\n  {\"text\": \"b\", \"label\": 1} ]\n";
    let table = read("a.json", content, &ReadOptions::default()).unwrap();
    expect_rows(&table, &[(2, &["a", "0"]), (4, &["b", "1"])]);
    let one_line = format!("[{{\"text\": \"{}\", \"label\": 0}}]", "a".repeat(17 << 20));
    assert_eq!(
        read("a.json", one_line, &ReadOptions::default())
            .unwrap()
            .rows
            .len(),
        1
    );
}

#[test]
fn a_broken_json_array_is_located() {
    let cases = [
        ("[\n {\"text\": \"a\"}\n {\"text\"", 3, 2),
        ("[{\"text\": \"a\"}, {\"text\" 1}]", 1, 25),
        ("[\n{\"text\":\n tru}]", 3, 5),
        ("[{\"text\": \"a\"}] x", 1, 17),
        ("[{\"text\": \"a\"},]", 1, 16),
        ("[", 1, 2),
    ];
    for (content, at_line, at_column) in cases {
        let error = read("a.json", content, &ReadOptions::default()).unwrap_err();
        let TrainError::Json { line, column, .. } = &error else {
            panic!("{content}: {error:?}")
        };
        assert_eq!((*line, *column), (at_line, at_column), "{content}: {error}");
    }
    let deep = "[".repeat(200_000);
    assert!(read("a.json", &deep, &ReadOptions::default()).is_err());
    assert!(read("a.jsonl", &deep, &ReadOptions::default()).is_err());
}

#[test]
fn column_names_must_make_sense() {
    for names in [&[][..], &["_", ""], &["text", "Text"]] {
        let error = read("a.csv", "a,1\n", &columns(names)).unwrap_err();
        assert!(
            matches!(
                error,
                TrainError::Option {
                    option: "columns",
                    ..
                }
            ),
            "{error:?}"
        );
    }
    let error = read("a.jsonl", "{\"text\": 1}", &columns(&["text"])).unwrap_err();
    assert!(
        error.to_string().contains("JSON names its own columns"),
        "{error}"
    );
}
