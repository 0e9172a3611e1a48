//! Reading whole files that somebody names: plain files alone, no larger than what such a file can sensibly be.
//!
//! A device or a pipe under the name of a file would be read without end, and a wrong file of gigabytes fill the memory.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

/// Configurations, settings, templates, manifests: published ones have at most some hundred kilobytes.
pub const CONFIG_LIMIT: u64 = 32 << 20;
/// `tokenizer.json`: the largest published ones have some 40 MB.
pub const TOKENIZER_LIMIT: u64 = 512 << 20;
/// One picture, packed.
pub const PICTURE_LIMIT: u64 = 256 << 20;

/// Opens a plain file.
///
/// # Errors
/// What the system reports, and [`io::ErrorKind::InvalidInput`] for what is no plain file.
pub fn open_plain(path: &Path) -> io::Result<File> {
    let metadata = fs::metadata(path)?;
    if metadata.is_file() {
        return File::open(path);
    }
    let problem = match metadata.is_dir() {
        true => "it is a folder, not a file",
        false => "it is a device or a pipe, not a plain file; copy what it gives into a file",
    };
    Err(io::Error::new(io::ErrorKind::InvalidInput, problem))
}

/// The bytes of a plain file of at most `limit` bytes.
///
/// # Errors
/// What the system reports, [`io::ErrorKind::InvalidInput`] for what is no plain file, and [`io::ErrorKind::FileTooLarge`].
pub fn read_plain(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // The size may change, and some files say none.
    open_plain(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        let problem = format!(
            "it is larger than {} MiB, the most that such a file can have here",
            limit >> 20
        );
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, problem));
    }
    Ok(bytes)
}

/// The text of a plain file of at most `limit` bytes.
///
/// # Errors
/// As [`read_plain`], and [`io::ErrorKind::InvalidData`] for what is no UTF-8.
pub fn read_plain_text(path: &Path, limit: u64) -> io::Result<String> {
    let text = String::from_utf8(read_plain(path, limit)?);
    text.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_files_are_read_up_to_the_limit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        fs::write(&path, "abcd").unwrap();
        assert_eq!(read_plain_text(&path, 4).unwrap(), "abcd");
        let error = read_plain(&path, 3).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        let error = read_plain(&dir.path().join("b"), 3).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        fs::write(&path, [0xff]).unwrap();
        assert_eq!(
            read_plain_text(&path, 4).unwrap_err().kind(),
            io::ErrorKind::InvalidData
        );
    }

    #[test]
    fn folders_and_endless_devices_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert!(
            read_plain(dir.path(), 3)
                .unwrap_err()
                .to_string()
                .contains("folder")
        );
        #[cfg(unix)]
        {
            let error = read_plain(Path::new("/dev/zero"), 3).unwrap_err();
            assert!(error.to_string().contains("device"), "{error}");
        }
    }
}
