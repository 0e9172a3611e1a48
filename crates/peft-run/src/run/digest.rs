//! Digests of what files and folders hold.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use peft_core::file::FileError;
use peft_core::file::input::open_plain;
use sha2::{Digest, Sha256};

use crate::Result;

/// Bytes of a digest that are kept.
const KEPT: usize = 16;

/// A digest as text.
pub(super) fn hex(bytes: &[u8]) -> String {
    let kept = bytes.iter().take(KEPT);
    kept.map(|byte| format!("{byte:02x}")).collect()
}

/// Files right below a folder, by name; none where there is no folder.
pub(super) fn files_in(folder: &Path, is_meant: impl Fn(&str) -> bool) -> Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        return Ok(vec![]);
    }
    let entries = fs::read_dir(folder).map_err(FileError::io("list", folder))?;
    let paths = entries.map_while(io::Result::ok).map(|entry| entry.path());
    let mut files: Vec<PathBuf> = paths
        .filter(|path| path.is_file())
        .filter(|path| {
            path.file_name()
                .is_some_and(|name| is_meant(&name.to_string_lossy()))
        })
        .collect();
    files.sort();
    Ok(files)
}

/// The digest of a file's bytes; of a folder, of the names and lengths of all files below it. `None` where nothing is.
pub(super) fn digest(path: &Path) -> Result<Option<String>> {
    let cannot = |error| FileError::io("read", path)(error);
    let mut all = Sha256::new();
    if path.is_dir() {
        names_below(path, path, &mut all).map_err(cannot)?;
    } else if path.is_file() {
        let mut file = open_plain(path).map_err(cannot)?;
        io::copy(&mut file, &mut Writes(&mut all)).map_err(cannot)?;
    } else {
        return Ok(None);
    }
    Ok(Some(hex(&all.finalize())))
}

/// A digest that bytes can be copied into.
struct Writes<'a>(&'a mut Sha256);

impl io::Write for Writes<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn names_below(root: &Path, folder: &Path, all: &mut Sha256) -> io::Result<()> {
    let entries: io::Result<Vec<_>> = fs::read_dir(folder)?.collect();
    let mut paths: Vec<PathBuf> = entries?.iter().map(fs::DirEntry::path).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            names_below(root, &path, all)?;
        } else {
            let name = path.strip_prefix(root).unwrap_or(&path);
            all.update(format!(
                "{} {}\n",
                name.display(),
                fs::metadata(&path)?.len()
            ));
        }
    }
    Ok(())
}
