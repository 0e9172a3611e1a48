//! Output folders: claimed for this process, and refused with the way out.

use std::path::Path;

use anyhow::Result;
use peft_core::file::{FileError, FolderClaim, claim_folder};

/// The way out of verbs that write one folder and nothing else.
pub const OVERWRITE: &str = "use --overwrite to write there all the same";

/// Claims an output folder; `way_out` says what to do about one that holds something.
///
/// # Errors
/// As [`claim_folder`].
pub fn claim(folder: &Path, overwrite: bool, way_out: &'static str) -> Result<FolderClaim> {
    claim_folder(folder, overwrite).map_err(|error| match error {
        FileError::Exists { .. } => anyhow::Error::new(error).context(way_out),
        other => other.into(),
    })
}
