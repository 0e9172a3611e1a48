//! Writing files so that a crash leaves either the old file or the new one, never a part.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::disk::{PREFIX, SUFFIX};
use super::leftover::{keep, tidy_files};
use super::unfinished::together;
use super::{FileError, disk};

/// Size of the buffer before the file.
const BUFFER: usize = 1 << 20;

/// A file that is complete and on the disk, under a temporary name beside the one it is to get. Dropping it removes
/// it and leaves everything as it was.
#[derive(Debug)]
#[must_use = "the file gets its name from `commit`"]
pub struct Staged {
    temporary: NamedTempFile,
    path: PathBuf,
}

impl Staged {
    /// Writes what `fill` writes to a temporary file in the folder of `path`, and syncs it.
    ///
    /// # Errors
    ///
    /// What `fill` returns, or [`FileError::Io`] with the step that failed; no file is left behind.
    pub fn new<E: From<FileError>>(
        path: &Path,
        fill: impl FnOnce(&mut StagedWriter<'_>) -> Result<(), E>,
    ) -> Result<Self, E> {
        disk::fill_temporary().map_err(FileError::io("create a temporary file for", path))?;
        let temporary = temporary_in(folder_of(path))?;
        let mut writer = StagedWriter {
            out: BufWriter::with_capacity(BUFFER, temporary.as_file()),
            path,
        };
        fill(&mut writer)?;
        disk::fill_temporary().map_err(FileError::io("write", path))?;
        writer.out.flush().map_err(FileError::io("write", path))?;
        drop(writer);
        temporary
            .as_file()
            .sync_all()
            .map_err(FileError::io("sync", path))?;
        Ok(Self {
            temporary,
            path: path.to_owned(),
        })
    }

    /// Gives the file its name, in place of a file that has it.
    ///
    /// # Errors
    ///
    /// [`FileError::Io`]; the file that had the name is as it was.
    pub fn commit(self) -> Result<(), FileError> {
        Self::commit_all([self])
    }

    /// Gives several files of one folder their names, one right after the other and in this order. Everything that
    /// is likely to fail was done before; a kill between two renames leaves some files new and some old, and the folder
    /// [unfinished](super::require_finished).
    ///
    /// # Errors
    ///
    /// [`FileError::Io`].
    pub fn commit_all(files: impl IntoIterator<Item = Self>) -> Result<(), FileError> {
        let files: Vec<Self> = files.into_iter().collect();
        let Some(first) = files.first() else {
            return Ok(());
        };
        let folder = folder_of(&first.path).to_owned();
        match files.len() {
            1 => Self::commit_each(files),
            _ => together(&folder, || Self::commit_each(files)),
        }
    }

    fn commit_each(files: Vec<Self>) -> Result<(), FileError> {
        let mut folder = None;
        for Self { temporary, path } in files {
            let failed = |error| FileError::io("rename a temporary file to", &path)(error);
            disk::name_temporary().map_err(failed)?;
            temporary
                .persist(&path)
                .map_err(|error| failed(error.error))?;
            folder = Some(folder_of(&path).to_owned());
        }
        folder.map_or(Ok(()), |folder| sync_folder(&folder))
    }
}

/// Takes the content of a [`Staged`] file.
#[derive(Debug)]
pub struct StagedWriter<'a> {
    out: BufWriter<&'a File>,
    path: &'a Path,
}

impl StagedWriter<'_> {
    /// Writes all of `bytes`.
    ///
    /// # Errors
    ///
    /// [`FileError::Io`] that names the file.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        self.out
            .write_all(bytes)
            .map_err(FileError::io("write", self.path))
    }
}

/// Writes a file atomically: a temporary file in the same folder, synced, then renamed over `path`.
///
/// Temporary files that killed processes left beside it are removed.
///
/// On Unix the folder is synced too, so that the new name survives a power cut, and the file gets the permissions
/// that a newly created file has.
///
/// # Errors
///
/// [`FileError::Io`] with the step that failed; the temporary file is removed and `path` is as it was.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    tidy_files(folder_of(path));
    Staged::new(path, |out| out.write(bytes))?.commit()
}

/// A temporary file that is this process's for as long as it lives.
fn temporary_in(folder: &Path) -> Result<NamedTempFile, FileError> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(PREFIX).suffix(SUFFIX);
    #[cfg(unix)]
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    #[cfg(unix)]
    builder.permissions(permissions);
    loop {
        let temporary = builder
            .tempfile_in(folder)
            .map_err(FileError::io("create a temporary file in", folder))?;
        if keep(temporary.as_file(), temporary.path()) {
            return Ok(temporary);
        }
    }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Syncs the names in a folder, so that they survive a power cut; without effect where there is no such thing.
///
/// # Errors
///
/// [`FileError::Io`].
#[cfg(unix)]
pub fn sync_folder(folder: &Path) -> Result<(), FileError> {
    let handle = File::open(folder).map_err(FileError::io("open", folder))?;
    handle.sync_all().map_err(FileError::io("sync", folder))
}

/// Syncs the names in a folder, where there is such a thing.
///
/// # Errors
///
/// None here.
#[cfg(not(unix))]
pub fn sync_folder(_folder: &Path) -> Result<(), FileError> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn writing_replaces_the_file_and_leaves_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        write_atomic(&path, b"one").unwrap();
        write_atomic(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_failed_write_names_the_folder_and_leaves_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("absent").join("a.json");
        let error = write_atomic(&path, b"one").unwrap_err();
        assert!(error.to_string().contains("absent"), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_rename_that_fails_removes_the_temporary_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("taken");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("x"), b"x").unwrap();
        assert!(matches!(
            write_atomic(&path, b"one"),
            Err(FileError::Io { .. })
        ));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn content_that_fails_midway_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        write_atomic(&path, b"one").unwrap();
        let outcome = Staged::new(&path, |out| {
            out.write(b"tw")?;
            Err(FileError::Empty { path: path.clone() })
        });
        assert!(matches!(outcome, Err(FileError::Empty { .. })));
        assert_eq!(fs::read(&path).unwrap(), b"one");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_staged_file_that_is_not_committed_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        drop(Staged::new(&path, |out| out.write(b"one")).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[cfg(unix)]
    #[test]
    fn other_users_can_read_the_file_as_the_umask_allows() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("plain"), b"x").unwrap();
        write_atomic(&folder.path().join("atomic"), b"x").unwrap();
        let mode = |name: &str| {
            fs::metadata(folder.path().join(name))
                .unwrap()
                .permissions()
                .mode()
        };
        assert_eq!(mode("atomic"), mode("plain"));
    }
}
