//! Reading at a place of a file.

use std::fs::File;
use std::io;

/// A file that several threads may read at once.
#[derive(Debug)]
pub(crate) struct Positioned {
    #[cfg(unix)]
    file: File,
    #[cfg(not(unix))]
    file: std::sync::Mutex<File>,
}

impl Positioned {
    #[cfg(unix)]
    pub(crate) fn new(file: File) -> Self {
        Self { file }
    }

    #[cfg(not(unix))]
    pub(crate) fn new(file: File) -> Self {
        Self { file: file.into() }
    }

    /// Fills `bytes` with what begins at `offset`.
    #[cfg(unix)]
    pub(crate) fn read(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(&self.file, bytes, offset)
    }

    /// Fills `bytes` with what begins at `offset`; one thread at a time, for the place is the file's.
    #[cfg(not(unix))]
    pub(crate) fn read(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        use std::io::{Read, Seek, SeekFrom};
        let mut file = self
            .file
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        file.seek(SeekFrom::Start(offset))?;
        file.read_exact(bytes)
    }
}
