//! `train_log.jsonl`: one JSON record per line, written as the run goes, continued when it resumes.

use std::path::{Path, PathBuf};

use peft_core::file::disk::Appended;
use peft_core::file::input::{DATA_LIMIT, read_plain};
use peft_core::file::write_atomic;
use serde::Serialize;
use serde_json::Value;

use crate::TrainError;

/// The key that holds the optimizer step of a record.
const STEP: &str = "step";

/// How many characters of a broken line are shown.
const SHOWN_CHARS: usize = 60;

/// An open training log. Every record is on disk (or at least with the system) when [`TrainLog::append`] returns.
#[derive(Debug)]
pub struct TrainLog {
    path: PathBuf,
    file: Appended,
}

impl TrainLog {
    /// Starts an empty log, whatever stood in the file before.
    ///
    /// # Errors
    /// [`TrainError::Write`] when the file cannot be made.
    pub fn create(path: &Path) -> Result<Self, TrainError> {
        let file = Appended::create(path).map_err(|source| write_error(path, source))?;
        Ok(Self {
            path: path.to_path_buf(),
            file,
        })
    }

    /// Continues the log of a run that resumes after `step`: records with a greater `step` are removed, and so is a
    /// last line that a crash left half written, and where its evaluation is still `pending` that of the step itself.
    /// Records without a step stay. A missing file is begun.
    ///
    /// # Errors
    /// [`TrainError::LogLine`] when another line is broken; [`TrainError::Read`] or [`TrainError::Write`] when the
    /// file cannot be read or replaced.
    pub fn resume(path: &Path, step: u64, pending: bool) -> Result<Self, TrainError> {
        if !path.exists() {
            return Self::create(path);
        }
        let records = read_log(path)?;
        let is_kept = |record: &&Value| {
            let again = pending && record["kind"] == "eval";
            record[STEP]
                .as_u64()
                .is_none_or(|at| at < step || at == step && !again)
        };
        let mut text = String::new();
        for record in records.iter().filter(is_kept) {
            text.push_str(&record.to_string());
            text.push('\n');
        }
        write_atomic(path, text.as_bytes())?;
        let file = Appended::open(path).map_err(|source| write_error(path, source))?;
        Ok(Self {
            path: path.to_path_buf(),
            file,
        })
    }

    /// Appends one record, which must be a JSON object. A number that is not finite becomes `null`.
    ///
    /// # Errors
    /// [`TrainError::LogRecord`] when it is no object, [`TrainError::Write`] when it cannot be written.
    pub fn append<T: Serialize>(&mut self, record: &T) -> Result<(), TrainError> {
        let bad = |message| TrainError::LogRecord {
            path: self.path.clone(),
            message,
        };
        let value = serde_json::to_value(record).map_err(|error| bad(error.to_string()))?;
        if !value.is_object() {
            return Err(bad(format!("found {value}")));
        }
        // One write per line, so that a reader beside the run never sees half of it for long.
        let written = self.file.append(format!("{value}\n").as_bytes());
        written.map_err(|source| write_error(&self.path, source))
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Reads every record of a log; a last line that is half written is left out.
///
/// # Errors
/// [`TrainError::Read`] when the file cannot be read, [`TrainError::LogLine`] when another line is broken.
pub fn read_log(path: &Path) -> Result<Vec<Value>, TrainError> {
    let bytes = read_plain(path, DATA_LIMIT).map_err(|source| TrainError::Read {
        path: path.to_path_buf(),
        source,
    })?;
    let lines: Vec<&[u8]> = bytes.split(|&byte| byte == b'\n').collect();
    let mut records = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        match serde_json::from_slice::<Value>(line) {
            Ok(record) if record.is_object() => records.push(record),
            _ if line.trim_ascii().is_empty() || index + 1 == lines.len() => {}
            _ => {
                let found = String::from_utf8_lossy(line)
                    .chars()
                    .take(SHOWN_CHARS)
                    .collect();
                return Err(TrainError::LogLine {
                    path: path.to_path_buf(),
                    line: index + 1,
                    found,
                });
            }
        }
    }
    Ok(records)
}

fn write_error(path: &Path, source: std::io::Error) -> TrainError {
    TrainError::Write {
        path: path.to_path_buf(),
        source,
    }
}
