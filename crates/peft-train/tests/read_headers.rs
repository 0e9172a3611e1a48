//! Headers: recognised, asked about, or given other names; never an example.

#![allow(
    clippy::unwrap_used,
    reason = "a panic in a test helper is the failure report"
)]

use peft_train::TrainError;
use peft_train::data::{ReadOptions, Table, TableError, read_table};

fn read(name: &str, content: &str, options: &ReadOptions) -> Result<Table, TrainError> {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    read_table(&path, options)
}

fn named(columns: &[&str]) -> ReadOptions {
    ReadOptions {
        columns: Some(columns.iter().map(ToString::to_string).collect()),
        ..ReadOptions::default()
    }
}

fn renamed(pairs: &[(&str, &str)]) -> ReadOptions {
    let pairs = pairs.iter();
    ReadOptions {
        renamed: pairs
            .map(|(name, column)| (name.to_string(), column.to_string()))
            .collect(),
        header: Some(true),
        ..ReadOptions::default()
    }
}

#[test]
fn a_header_of_other_names_is_asked_about_with_the_flag_to_type() {
    let content = "utterance,intent\nturn it on,lights\nplay some jazz,music\nlights off please,lights\nlouder now,music\n";
    let error = read("a.csv", content, &named(&["text", "label"])).unwrap_err();
    let TrainError::Table(TableError::HeaderAsRow { line: 1, .. }) = &error else {
        panic!("{error:?}")
    };
    let message = error.to_string();
    assert!(
        message.contains("--columns text=utterance,label=intent"),
        "{message}"
    );
    assert!(message.contains("--header no"), "{message}");
    let skipped = ReadOptions {
        header: Some(true),
        ..named(&["text", "label"])
    };
    assert_eq!(read("a.csv", content, &skipped).unwrap().rows.len(), 4);
    let learnt = ReadOptions {
        header: Some(false),
        ..named(&["text", "label"])
    };
    assert_eq!(read("a.csv", content, &learnt).unwrap().rows.len(), 5);
}

#[test]
fn a_file_without_a_header_is_read_as_it_is() {
    for content in [
        "turn it on,lights\nplay some jazz,music\nlights off please,lights\n",
        "stop,halt\nplay some jazz,music\nlights off please,halt\nnow go,music\n",
        "4.5,3\n1.5,2\n",
        "one row only,lights\n",
    ] {
        let table = read("a.csv", content, &named(&["text", "label"])).unwrap();
        assert_eq!(table.rows.len(), content.lines().count(), "{content}");
    }
}

#[test]
fn columns_get_the_names_that_a_task_reads_in_every_format() {
    let wanted = renamed(&[("text", "review"), ("label", "Sentiment")]);
    for (name, content) in [
        (
            "a.csv",
            "id,review,sentiment,text\n7,so good,1,x\n8,bad,0,y\n",
        ),
        (
            "a.tsv",
            "id\treview\tsentiment\ttext\n7\tso good\t1\tx\n8\tbad\t0\ty\n",
        ),
        (
            "a.jsonl",
            "{\"id\": \"7\", \"review\": \"so good\", \"sentiment\": \"1\", \"text\": \"x\"}\n\
             {\"id\": \"8\", \"review\": \"bad\", \"sentiment\": \"0\", \"text\": \"y\"}\n",
        ),
    ] {
        let table = read(name, content, &wanted).unwrap();
        let (text, label) = (
            table.column("text").unwrap().unwrap(),
            table.column("label").unwrap().unwrap(),
        );
        assert_eq!((text, label), (1, 2), "{name}");
        assert_eq!(table.rows[0].cells[text], "so good");
        assert_eq!(table.rows.len(), 2);
    }
    let swapped = renamed(&[("text", "label"), ("label", "text")]);
    let table = read("a.csv", "text,label\n1,good\n", &swapped).unwrap();
    assert_eq!(table.columns, ["label", "text"]);
}

#[test]
fn a_column_that_is_not_there_is_named_with_those_that_are() {
    let error = read(
        "a.csv",
        "review,stars\ngood,1\n",
        &renamed(&[("text", "reviews")]),
    )
    .unwrap_err();
    let message = error.to_string();
    assert!(
        message.contains("\"reviews\"") && message.contains("\"review\", \"stars\""),
        "{message}"
    );
    let error = read("a.csv", "review,stars\ngood,1\n", &ReadOptions::default()).unwrap_err();
    let message = error.to_string();
    assert!(
        message.contains("--columns text=review,label=stars"),
        "{message}"
    );
    assert!(message.contains("--columns text,label"), "{message}");
    let mut table = read(
        "a.csv",
        "review,label\ngood,1\n",
        &renamed(&[("text", "review")]),
    )
    .unwrap();
    let pairs = [("label".to_string(), "stars".to_string())];
    table.rename_present(&pairs).unwrap();
    assert_eq!(table.columns, ["text", "label"]);
}
