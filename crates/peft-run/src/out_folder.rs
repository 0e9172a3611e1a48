//! Output folders: claimed for this process, and refused with the way out.

use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};

use peft_core::file::{FileError, FolderClaim, claim_folder, disk, remove_folder, together};

use crate::error::Context;
use crate::{Error, Result};

/// The way out of verbs that write one folder and nothing else.
pub const OVERWRITE: &str = "use --overwrite to write there all the same";

/// Claims an output folder; `way_out` says what to do about one that holds something.
///
/// # Errors
/// As [`claim_folder`].
pub fn claim(folder: &Path, overwrite: bool, way_out: &'static str) -> Result<FolderClaim> {
    match claim_folder(folder, overwrite) {
        Err(error @ FileError::Exists { .. }) => Err(error).context(way_out),
        claimed => Ok(claimed?),
    }
}

/// An output folder that is made beside its place: complete before anything of it is seen there.
#[derive(Debug)]
pub struct Aside {
    folder: tempfile::TempDir,
    out: PathBuf,
    _claim: FolderClaim,
}

impl Aside {
    /// Claims a folder that holds nothing, and makes room beside it.
    ///
    /// # Errors
    /// As [`claim_folder`].
    pub fn new(out: &Path) -> Result<Self> {
        let claim = claim_folder(out, false)?;
        let folder = disk::folder_aside(out);
        Ok(Self {
            folder: folder.map_err(FileError::io("create a folder in", out))?,
            out: out.to_owned(),
            _claim: claim,
        })
    }

    /// Where to write.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Moves everything to its place.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn put_in_place(self) -> Result<()> {
        together(&self.out, || exchange(self.path(), &self.out))
    }
}

/// A folder for what is needed meanwhile, with the temporary files.
///
/// # Errors
/// When the disk refuses.
pub(crate) fn temporary() -> Result<tempfile::TempDir, FileError> {
    let place = std::env::temp_dir();
    tempfile::tempdir_in(&place).map_err(FileError::io("create a folder in", &place))
}

/// Moves what is in one folder into another one, where it takes the place of what has its names; the configuration of a model last.
///
/// # Errors
/// When the disk refuses.
pub(crate) fn exchange(from: &Path, to: &Path) -> Result<()> {
    let entries = fs::read_dir(from).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let entries = entries.map_err(FileError::io("list", from))?;
    let mut names: Vec<_> = entries.iter().map(DirEntry::file_name).collect();
    names.sort_by_key(|name| (name == "config.json", name.clone()));
    for name in names {
        let (from, to) = (from.join(&name), to.join(&name));
        if from.is_dir() {
            remove_folder(&to)?;
        }
        disk::rename(&from, &to).map_err(|source| Error::Rename { from, to, source })?;
    }
    Ok(())
}
