//! Folders whose files belong together: while several of them get their names there is a mark beside them, so that a kill between two
//! names is seen by whoever reads the folder.

use std::path::Path;

use super::{FileError, disk};

/// The mark. A folder has it while its files are exchanged, and after a kill or a failure in between.
pub(super) const MARK: &str = ".peft-unfinished";

/// Does `work`, which gives files of a folder their names, with the folder marked as unfinished until it has succeeded.
///
/// # Errors
///
/// What `work` reports, and [`FileError::Io`] when the mark cannot be set or removed.
pub fn together<T, E: From<FileError>>(
    folder: &Path,
    work: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    let mark = folder.join(MARK);
    disk::mark(&mark).map_err(FileError::io("create", &mark))?;
    let done = work()?;
    disk::remove_file(&mark).map_err(FileError::io("remove", &mark))?;
    Ok(done)
}

/// Refuses a folder whose files may not belong together.
///
/// # Errors
///
/// [`FileError::Unfinished`].
pub fn require_finished(folder: &Path) -> Result<(), FileError> {
    if folder.join(MARK).exists() {
        return Err(FileError::Unfinished {
            path: folder.to_owned(),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::{CONFIG_FILE, claim_folder, read_config};

    #[test]
    fn a_folder_whose_exchange_failed_is_refused_until_one_succeeds() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path();
        std::fs::write(path.join(CONFIG_FILE), r#"{"peft_type": "LORA"}"#).unwrap();
        let failed = together(path, || -> Result<(), FileError> {
            Err(FileError::Empty { path: path.into() })
        });
        assert!(failed.is_err());
        for error in [
            read_config(path).unwrap_err(),
            claim_folder(path, false).unwrap_err(),
        ] {
            assert!(matches!(error, FileError::Unfinished { .. }), "{error}");
            assert!(error.to_string().contains("--overwrite"), "{error}");
        }
        let _claim = claim_folder(path, true).unwrap();
        together(path, || Ok::<(), FileError>(())).unwrap();
        read_config(path).unwrap();
    }

    #[test]
    fn a_mark_alone_is_nothing() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(MARK), "").unwrap();
        drop(claim_folder(dir.path(), false).unwrap());
        require_finished(dir.path()).unwrap();
    }
}
