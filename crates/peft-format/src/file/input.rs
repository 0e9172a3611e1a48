//! Reading whole files that somebody names: plain files alone, no larger than what such a file can sensibly be.
//!
//! A device or a pipe under the name of a file would be read without end, and a wrong file of gigabytes fill the memory.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

pub use super::limit::{
    CONFIG_LIMIT, DATA_LIMIT, GGUF_ENTRIES_LIMIT, GGUF_FILES_LIMIT, GGUF_TOKEN_LIMIT,
    GGUF_VALUE_LIMIT, LIMITS, Limit, LimitError, PICTURE_LIMIT, PIXELS_LIMIT,
    TEMPLATE_MEMORY_LIMIT, TEMPLATE_TIME_LIMIT, TOKENIZER_LIMIT, UNPACKED_LIMIT, check_limits,
};

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

/// The bytes of a plain file of at most so many bytes.
///
/// # Errors
/// What the system reports, [`io::ErrorKind::InvalidInput`] for what is no plain file, and [`io::ErrorKind::FileTooLarge`].
pub fn read_plain(path: &Path, limit: Limit) -> io::Result<Vec<u8>> {
    within(open_plain(path)?, limit, limit.get())
}

/// All that a source gives, of at most `most` bytes, which is what `limit` means for it.
///
/// # Errors
/// What the source reports, and [`io::ErrorKind::FileTooLarge`] with what allows more.
pub fn within(source: impl Read, limit: Limit, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // The size may change, and some files say none.
    source
        .take(most.saturating_add(1))
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        let problem = format!(
            "it is larger than {} MiB, the most that such a file can have here; {}",
            most >> 20,
            limit.way_out(most)
        );
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, problem));
    }
    Ok(bytes)
}

/// The text of a plain file of at most so many bytes.
///
/// # Errors
/// As [`read_plain`], and [`io::ErrorKind::InvalidData`] for what is no UTF-8.
pub fn read_plain_text(path: &Path, limit: Limit) -> io::Result<String> {
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
        assert_eq!(read_plain_text(&path, CONFIG_LIMIT).unwrap(), "abcd");
        assert_eq!(within(&b"abcd"[..], CONFIG_LIMIT, 4).unwrap(), b"abcd");
        let error = within(&b"abcd"[..], CONFIG_LIMIT, 3).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        File::create(&path).unwrap().set_len(33 << 20).unwrap();
        let error = read_plain(&path, CONFIG_LIMIT).unwrap_err();
        assert!(
            error.to_string().contains("PEFT_LIMIT_CONFIG=64M"),
            "{error}"
        );
        let error = read_plain(&dir.path().join("b"), CONFIG_LIMIT).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        fs::write(&path, [0xff]).unwrap();
        assert_eq!(
            read_plain_text(&path, CONFIG_LIMIT).unwrap_err().kind(),
            io::ErrorKind::InvalidData
        );
    }

    #[test]
    fn folders_and_endless_devices_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert!(
            read_plain(dir.path(), CONFIG_LIMIT)
                .unwrap_err()
                .to_string()
                .contains("folder")
        );
        #[cfg(unix)]
        {
            let error = read_plain(Path::new("/dev/zero"), CONFIG_LIMIT).unwrap_err();
            assert!(error.to_string().contains("device"), "{error}");
        }
    }
}
