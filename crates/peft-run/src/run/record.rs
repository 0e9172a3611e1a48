//! `run_state.json`: which run a folder belongs to, and how far that is.

use std::path::{Path, PathBuf};

use peft_core::file::input::{CONFIG_LIMIT, read_plain_text};
use peft_core::file::{CONFIG_FILE, FileError, holds_anything, write_atomic};
use peft_train::Checkpoints;
use serde::{Deserialize, Serialize};

use super::RUN_FILE;
use super::identity::Identity;
use crate::error::Context;
use crate::{Error, Result};

/// File of the record in a run directory.
pub(super) const STATE_FILE: &str = "run_state.json";
const FORMAT_VERSION: u32 = 1;

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Phase {
    /// What an earlier run left is being removed.
    Clearing,
    /// It goes on, or was broken off.
    Running,
    /// Everything is written.
    Finished,
}

/// The content of the file. It is replaced as a whole, so that a folder belongs to one run at every moment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct RunRecord {
    /// Version of this form.
    pub format_version: u32,
    /// How far it is.
    pub phase: Phase,
    /// What decides its course.
    pub identity: Identity,
    /// A digest of the training examples as the model sees them.
    pub examples: Option<String>,
    /// Files that were there before the run and are not its own.
    pub foreign: Vec<String>,
    /// Files that the finished run consists of, or those of an earlier one that are to go.
    pub products: Vec<String>,
}

impl RunRecord {
    /// A record of a run that takes a folder over from another one, if any, which ended with `products`.
    pub(super) fn new(identity: Identity, products: Vec<String>) -> Self {
        Self {
            format_version: FORMAT_VERSION,
            phase: Phase::Clearing,
            identity,
            examples: None,
            foreign: vec![],
            products,
        }
    }

    /// The record of a folder; `None` where there is none.
    ///
    /// # Errors
    /// When it cannot be read, or is of another version.
    pub(super) fn read(out: &Path) -> Result<Option<Self>> {
        let path = file(out);
        if !path.exists() {
            return Ok(None);
        }
        let text = read_plain_text(&path, CONFIG_LIMIT).map_err(FileError::io("read", &path))?;
        let record: Self = serde_json::from_str(&text)
            .with_context(|| format!("{}: start anew with --overwrite", path.display()))?;
        match record.format_version {
            FORMAT_VERSION => Ok(Some(record)),
            found => Err(Error::FormatVersion {
                path,
                expected: FORMAT_VERSION,
                found,
                way_out: "start anew with --overwrite",
            }),
        }
    }

    /// The record of the run that goes on in a folder.
    ///
    /// # Errors
    /// As [`Self::read`], and when somebody removed it meanwhile.
    pub(super) fn of(out: &Path) -> Result<Self> {
        let missing = || FileError::Missing {
            path: file(out),
            hint: "the run wrote it and still needs it; start anew with --overwrite",
        };
        Ok(Self::read(out)?.ok_or_else(missing)?)
    }

    /// Writes the record.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(super) fn write(&self, out: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        Ok(write_atomic(&file(out), text.as_bytes())?)
    }
}

fn file(out: &Path) -> PathBuf {
    out.join(STATE_FILE)
}

/// The record of the run in `out`, if it is the run of `identity`.
///
/// # Errors
/// No run, or one of other settings or files, each of which is named.
pub(super) fn to_resume(out: &Path, identity: &Identity) -> Result<RunRecord> {
    let Some(found) = RunRecord::read(out)? else {
        return Err(Error::Usage(format!(
            "--resume: {} holds no run that could go on ({STATE_FILE} is missing); leave --resume out to start one{}",
            out.display(),
            if holds_anything(out)? {
                " in another folder, or give --overwrite"
            } else {
                ""
            }
        )));
    };
    let differences = found.identity.differences(identity);
    if differences.is_empty() {
        return Ok(found);
    }
    let way_on = match (found.identity.trains_the_model(), last_adapter(out)) {
        (false, Some(adapter)) => format!(
            "a new run goes on from its weights with --start {} and another --out; ",
            adapter.display()
        ),
        _ => String::new(),
    };
    Err(Error::Usage(format!(
        "{}: the run there was begun with other settings or data, and nothing of it was changed:\n{}\nresume with those of its {RUN_FILE}; \
         {way_on}--overwrite starts anew",
        out.display(),
        differences.join("\n")
    )))
}

/// The adapter of a run that is finished, or of its last checkpoint.
fn last_adapter(out: &Path) -> Option<PathBuf> {
    if out.join(CONFIG_FILE).exists() {
        return Some(out.to_owned());
    }
    let checkpoints = Checkpoints::new(out, 1);
    let step = checkpoints.steps().ok()?.pop()?;
    Some(checkpoints.path(step))
}
