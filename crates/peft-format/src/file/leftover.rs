//! What killed processes leave behind: temporary files, and folders whose removal had begun.
//!
//! A temporary file is locked by the process that writes it for as long as that lives, so one that can be locked belongs
//! to nobody any more. A folder is renamed before it is removed: a kill leaves it whole under its name or as a leftover,
//! never half under its name.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;

use super::FileError;
use super::disk::{self, PREFIX, SUFFIX};

/// Whether an entry of a folder is temporary by its name.
pub(super) fn is_temporary(name: &std::ffi::OsStr) -> bool {
    name.to_str()
        .is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(SUFFIX))
}

/// The temporary entries of a folder.
fn temporary(folder: &Path) -> impl Iterator<Item = fs::DirEntry> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let entries = entries.map_while(Result::ok);
    entries.filter(|entry| is_temporary(&entry.file_name()))
}

/// Removes the temporary files that killed processes left in `folder` itself. What cannot be removed stays: it does no harm.
pub(super) fn tidy_files(folder: &Path) {
    for entry in temporary(folder) {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_file()) && is_abandoned(&path) {
            disk::remove_file(&path).ok();
        }
    }
}

/// Removes temporary folders too, which nothing locks: for whoever has claimed `folder`, so that nobody else writes there.
pub(super) fn tidy(folder: &Path) {
    tidy_files(folder);
    for entry in temporary(folder) {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            disk::remove_dir_all(&entry.path()).ok();
        }
    }
}

/// The same in `folder` and in the folders right below it.
pub(super) fn tidy_below(folder: &Path) {
    tidy(folder);
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.map_while(Result::ok) {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            tidy(&entry.path());
        }
    }
}

/// Locks a temporary file for its writer. Returns whether it still has its name: whoever tidied in the moment before
/// may have taken it for abandoned.
pub(super) fn keep(file: &File, path: &Path) -> bool {
    match file.try_lock() {
        Ok(()) => is_at(file, path),
        Err(TryLockError::WouldBlock) => false,
        // A file system without locks, on which nothing is ever taken for abandoned.
        Err(TryLockError::Error(_)) => true,
    }
}

/// Whether nobody writes to a temporary file any more.
fn is_abandoned(path: &Path) -> bool {
    let open = OpenOptions::new().write(true).open(path);
    open.is_ok_and(|file| file.try_lock().is_ok())
}

/// Removes a folder so that no kill leaves a part of it under its name. A folder that does not exist is removed already.
///
/// # Errors
///
/// [`FileError::Io`].
pub fn remove_folder(folder: &Path) -> Result<(), FileError> {
    let Some(name) = folder.file_name() else {
        return Ok(());
    };
    let name = name.to_string_lossy();
    let doomed = folder.with_file_name(format!("{PREFIX}{name}{SUFFIX}"));
    gone(disk::remove_dir_all(&doomed)).map_err(FileError::io("remove", &doomed))?;
    gone(disk::rename(folder, &doomed)).map_err(FileError::io("remove", folder))?;
    gone(disk::remove_dir_all(&doomed)).map_err(FileError::io("remove", &doomed))
}

/// Removes a file. One that does not exist is removed already.
///
/// # Errors
///
/// [`FileError::Io`].
pub fn remove_file(path: &Path) -> Result<(), FileError> {
    if path.symlink_metadata().is_err() {
        return Ok(());
    }
    gone(disk::remove_file(path)).map_err(FileError::io("remove", path))
}

fn gone(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Whether an open file is the one that has this name.
#[cfg(unix)]
pub(super) fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let place = |metadata: io::Result<fs::Metadata>| {
        metadata
            .map(|metadata| (metadata.dev(), metadata.ino()))
            .ok()
    };
    let own = place(file.metadata());
    own.is_some() && own == place(fs::metadata(path))
}

#[cfg(not(unix))]
pub(super) fn is_at(_file: &File, path: &Path) -> bool {
    path.exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_writes_is_removed_and_all_else_stays() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in [".peft-dead.tmp", ".peft-live.tmp", ".peft-x", "notes.tmp"] {
            fs::write(at(name), b"x").unwrap();
        }
        fs::create_dir_all(at(".peft-old.tmp").join("in")).unwrap();
        fs::create_dir(at("below")).unwrap();
        fs::write(at("below").join(".peft-dead.tmp"), b"x").unwrap();
        let live = File::open(at(".peft-live.tmp")).unwrap();
        assert!(keep(&live, &at(".peft-live.tmp")));
        tidy(folder.path());
        let names = || {
            let entries = fs::read_dir(folder.path()).unwrap();
            let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            names
        };
        assert_eq!(names(), [".peft-live.tmp", ".peft-x", "below", "notes.tmp"]);
        assert_eq!(fs::read_dir(at("below")).unwrap().count(), 1);
        drop(live);
        tidy_below(folder.path());
        assert_eq!(names(), [".peft-x", "below", "notes.tmp"]);
        assert_eq!(fs::read_dir(at("below")).unwrap().count(), 0);
    }

    #[test]
    fn a_file_that_lost_its_name_is_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".peft-a.tmp");
        fs::write(&path, b"x").unwrap();
        let file = File::open(&path).unwrap();
        fs::remove_file(&path).unwrap();
        assert_eq!(keep(&file, &path), cfg!(not(unix)));
    }

    #[test]
    fn a_folder_is_removed_whole_also_over_what_an_earlier_removal_left() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("checkpoint-1");
        for left in [&folder, &root.path().join(".peft-checkpoint-1.tmp")] {
            fs::create_dir(left).unwrap();
            fs::write(left.join("x"), b"x").unwrap();
        }
        remove_folder(&folder).unwrap();
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
        remove_folder(&folder).unwrap();
        remove_file(&folder).unwrap();
    }
}
