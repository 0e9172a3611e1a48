//! Writing files so that a crash leaves either the old file or the new one, never a part.

use std::fs;
use std::io::Write;
use std::path::Path;

use super::FileError;

/// Writes a file atomically: a temporary file in the same folder, synced, then renamed over `path`.
///
/// On Unix the folder is synced too, so that the new name survives a power cut, and the file gets the permissions
/// that a newly created file has.
///
/// # Errors
///
/// [`FileError::Io`] with the step that failed; the temporary file is removed and `path` is as it was.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(".peft-").suffix(".tmp");
    #[cfg(unix)]
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    #[cfg(unix)]
    builder.permissions(permissions);
    let mut file = builder
        .tempfile_in(folder)
        .map_err(FileError::io("create a temporary file in", folder))?;
    file.write_all(bytes)
        .map_err(FileError::io("write", path))?;
    file.as_file()
        .sync_all()
        .map_err(FileError::io("sync", path))?;
    file.persist(path)
        .map_err(|error| FileError::io("rename a temporary file to", path)(error.error))?;
    sync_folder(folder)
}

#[cfg(unix)]
fn sync_folder(folder: &Path) -> Result<(), FileError> {
    let handle = fs::File::open(folder).map_err(FileError::io("open", folder))?;
    handle.sync_all().map_err(FileError::io("sync", folder))
}

#[cfg(not(unix))]
fn sync_folder(_folder: &Path) -> Result<(), FileError> {
    Ok(())
}

/// Makes an output folder, with its parents. A folder that holds anything is refused unless `overwrite` is set;
/// nothing in it is removed.
///
/// # Errors
///
/// [`FileError::Exists`] for a folder in use or a path that is a file, otherwise [`FileError::Io`].
pub fn prepare_folder(folder: &Path, overwrite: bool) -> Result<(), FileError> {
    if folder.is_dir() {
        let mut entries = fs::read_dir(folder).map_err(FileError::io("list", folder))?;
        if entries.next().is_some() && !overwrite {
            return Err(FileError::Exists {
                path: folder.to_owned(),
            });
        }
        return Ok(());
    }
    if folder.exists() {
        return Err(FileError::Exists {
            path: folder.to_owned(),
        });
    }
    fs::create_dir_all(folder).map_err(FileError::io("create", folder))
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn a_folder_in_use_is_refused_unless_allowed() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("out").join("adapter");
        prepare_folder(&folder, false).unwrap();
        prepare_folder(&folder, false).unwrap();
        fs::write(folder.join("x"), b"x").unwrap();
        assert!(matches!(
            prepare_folder(&folder, false),
            Err(FileError::Exists { .. })
        ));
        prepare_folder(&folder, true).unwrap();
        assert!(folder.join("x").exists());
        assert!(matches!(
            prepare_folder(&folder.join("x"), true),
            Err(FileError::Exists { .. })
        ));
    }
}
