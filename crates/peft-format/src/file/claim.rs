//! Claiming an output folder: one process at a time writes there.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::leftover::{is_at, is_temporary, remove_file, tidy_below};
use super::unfinished::{MARK, require_finished};
use super::{FileError, disk};

/// Name of the file that is locked. One that a killed process left behind is not locked any more and does no harm.
const LOCK_FILE: &str = ".peft.lock";

/// An output folder that no other process writes to. Dropping it ends the claim.
#[derive(Debug)]
#[must_use = "the claim ends when this is dropped"]
pub struct FolderClaim {
    file: File,
    path: PathBuf,
    /// Folders that the claim made, the deepest first.
    made: Vec<PathBuf>,
}

/// Makes an output folder, with its parents, and claims it. A folder that holds anything is refused unless
/// `overwrite` is set. Nothing in it is removed but the temporary files of killed processes, which count for nothing.
/// Folders that were made for the claim and are empty when it ends are removed again.
///
/// # Errors
///
/// [`FileError::InUse`] while another process has the claim, [`FileError::Exists`] for a folder that holds something
/// or a path that is a file, [`FileError::Unfinished`] for what a kill left of one, otherwise [`FileError::Io`].
pub fn claim_folder(folder: &Path, overwrite: bool) -> Result<FolderClaim, FileError> {
    if folder.exists() && !folder.is_dir() {
        return Err(FileError::Exists {
            path: folder.to_owned(),
        });
    }
    let claim = FolderClaim::new(folder)?;
    if !overwrite && holds_anything(folder)? {
        require_finished(folder)?;
        return Err(FileError::Exists {
            path: folder.to_owned(),
        });
    }
    tidy_below(folder);
    if !holds_anything(folder)? {
        remove_file(&folder.join(MARK))?;
    }
    Ok(claim)
}

impl FolderClaim {
    fn new(folder: &Path) -> Result<Self, FileError> {
        let path = folder.join(LOCK_FILE);
        let missing = folder.ancestors().take_while(|folder| !folder.exists());
        let made: Vec<PathBuf> = missing.map(Path::to_owned).collect();
        loop {
            disk::create_dir_all(folder).map_err(FileError::io("create", folder))?;
            let file = match disk::open_or_create(&path) {
                // A claim that ended in this moment has removed its empty folder.
                Err(error) if error.kind() == io::ErrorKind::NotFound && !folder.exists() => {
                    continue;
                }
                opened => opened.map_err(FileError::io("create", &path))?,
            };
            match file.try_lock() {
                Ok(()) => {}
                // A file system without locks: the check for a folder that holds something must do.
                Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(FileError::InUse {
                        path: folder.to_owned(),
                    });
                }
                Err(TryLockError::Error(source)) => {
                    return Err(FileError::io("lock", &path)(source));
                }
            }
            // The process that had the claim may have removed the file between our opening and locking it; then the
            // lock is on a file without a name, which nobody else will see.
            if is_at(&file, &path) {
                return Ok(Self { file, path, made });
            }
        }
    }
}

impl Drop for FolderClaim {
    fn drop(&mut self) {
        // Both may fail without harm: a lock ends with its process, and a file without a lock claims nothing.
        disk::remove_file(&self.path).ok();
        self.file.unlock().ok();
        // A folder that holds something is not removed by this.
        self.made
            .iter()
            .all(|folder| disk::remove_dir(folder).is_ok());
    }
}

/// Whether a folder holds anything but a claim and what killed processes left.
///
/// # Errors
///
/// [`FileError::Io`].
pub fn holds_anything(folder: &Path) -> Result<bool, FileError> {
    let entries = fs::read_dir(folder).map_err(FileError::io("list", folder))?;
    let mut names = entries.map_while(Result::ok).map(|entry| entry.file_name());
    Ok(names.any(|name| name != LOCK_FILE && name != MARK && !is_temporary(&name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claimed_folder_is_refused_until_the_claim_ends() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("runs").join("a");
        let claim = claim_folder(&folder, false).unwrap();
        let error = claim_folder(&folder, true).unwrap_err();
        assert!(matches!(error, FileError::InUse { .. }), "{error}");
        drop(claim);
        assert!(!folder.exists(), "it was made for the claim alone");
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
        let claim = claim_folder(&folder, false).unwrap();
        fs::write(folder.join("x"), b"x").unwrap();
        drop(claim);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    }

    #[test]
    fn an_empty_folder_that_was_there_stays() {
        let folder = tempfile::tempdir().unwrap();
        drop(claim_folder(folder.path(), false).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_a_killed_process_left_counts_for_nothing_and_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let below = folder.path().join("loadings");
        fs::create_dir(&below).unwrap();
        fs::write(below.join(".peft-b.tmp"), b"x").unwrap();
        fs::write(folder.path().join(".peft-a.tmp"), b"x").unwrap();
        drop(claim_folder(folder.path(), true).unwrap());
        assert_eq!(fs::read_dir(&below).unwrap().count(), 0);
        fs::remove_dir(&below).unwrap();
        fs::write(folder.path().join(".peft-a.tmp"), b"x").unwrap();
        drop(claim_folder(folder.path(), false).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_lock_file_that_a_killed_process_left_does_no_harm() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(LOCK_FILE), b"").unwrap();
        drop(claim_folder(folder.path(), false).unwrap());
    }

    #[test]
    fn a_folder_that_holds_something_is_refused_unless_allowed_and_keeps_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        fs::write(&path, b"x").unwrap();
        for place in [folder.path(), path.as_path()] {
            let error = claim_folder(place, false).unwrap_err();
            assert!(matches!(error, FileError::Exists { .. }), "{error}");
        }
        drop(claim_folder(folder.path(), true).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
