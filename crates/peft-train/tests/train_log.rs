//! The training log: appending, resuming, and surviving a crash in the middle of a line.

use peft_train::TrainError;
use peft_train::log::{TrainLog, read_log};
use serde_json::json;
use tempfile::TempDir;

#[test]
fn records_are_on_disk_as_soon_as_they_are_appended() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("train_log.jsonl");
    let mut log = TrainLog::create(&path).unwrap();
    log.append(&json!({"step": 1, "loss": 0.1})).unwrap();
    log.append(&json!({"step": 2, "loss": f64::NAN, "text": "two\nlines"}))
        .unwrap();
    let text = std::fs::read_to_string(log.path()).unwrap();
    assert_eq!(
        text,
        "{\"step\":1,\"loss\":0.1}\n{\"step\":2,\"loss\":null,\"text\":\"two\\nlines\"}\n"
    );
    let error = log.append(&[1, 2]).unwrap_err();
    assert!(matches!(error, TrainError::LogRecord { .. }), "{error:?}");
}

#[test]
fn resuming_drops_later_records_and_a_half_written_line() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("train_log.jsonl");
    let text = "{\"model\":\"m\"}\n{\"step\":1}\n\n{\"step\":2}\n{\"step\":3}\n{\"step\":2,\"eval\":1}\n{\"st\u{c3}";
    let bytes: Vec<u8> = text.chars().map(|c| c as u8).collect();
    std::fs::write(&path, bytes).unwrap();
    let mut log = TrainLog::resume(&path, 2, false).unwrap();
    log.append(&json!({"step": 3, "again": true})).unwrap();
    let expected = "{\"model\":\"m\"}\n{\"step\":1}\n{\"step\":2}\n{\"step\":2,\"eval\":1}\n{\"step\":3,\"again\":true}\n";
    assert_eq!(std::fs::read_to_string(&path).unwrap(), expected);
    assert_eq!(read_log(&path).unwrap().len(), 5);
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        1,
        "no temporary file is left"
    );
}

#[test]
fn a_whole_last_line_without_its_line_end_is_kept() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("train_log.jsonl");
    std::fs::write(&path, "{\"step\":1}\n{\"step\":2}").unwrap();
    TrainLog::resume(&path, 9, false)
        .unwrap()
        .append(&json!({"step": 3}))
        .unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text, "{\"step\":1}\n{\"step\":2}\n{\"step\":3}\n");
}

#[test]
fn a_number_keeps_every_digit_when_the_log_is_rewritten() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("train_log.jsonl");
    let text = "{\"step\":1,\"loss\":0.30000000000000004,\"lr\":5e-324}\n";
    std::fs::write(&path, text).unwrap();
    TrainLog::resume(&path, 1, false).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}

#[test]
fn a_broken_line_in_the_middle_is_an_error_that_names_it() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("train_log.jsonl");
    let text = "{\"step\":1}\n{\"step\":\n{\"step\":2}\n";
    std::fs::write(&path, text).unwrap();
    let error = TrainLog::resume(&path, 2, false).unwrap_err();
    assert!(
        matches!(error, TrainError::LogLine { line: 2, .. }),
        "{error:?}"
    );
    assert_eq!(
        std::fs::read_to_string(&path).unwrap(),
        text,
        "the log is left as it was"
    );
}

#[test]
fn a_missing_log_is_begun_and_a_missing_folder_is_an_error() {
    let folder = TempDir::new().unwrap();
    TrainLog::resume(&folder.path().join("new.jsonl"), 5, false).unwrap();
    assert!(folder.path().join("new.jsonl").exists());
    let error = TrainLog::create(&folder.path().join("no/where.jsonl")).unwrap_err();
    assert!(matches!(error, TrainError::Write { .. }), "{error:?}");
}
