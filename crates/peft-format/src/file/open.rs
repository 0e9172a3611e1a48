//! Opening what a folder should hold: plain files that are there, not empty, and no pointers to others.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::FileError;
use super::input::open_plain;

const LFS_START: &[u8] = b"version https://git-lfs";

/// Size and first bytes of a file that should hold tensors.
pub(super) fn check_tensor_file(path: &Path) -> Result<(u64, Vec<u8>), FileError> {
    const START: u64 = 256;
    let (file, size) = open(path, "the tensors of the adapter belong there")?;
    let mut start = Vec::new();
    file.take(START)
        .read_to_end(&mut start)
        .map_err(FileError::io("read", path))?;
    if start.is_empty() {
        return Err(FileError::Empty {
            path: path.to_owned(),
        });
    }
    if start.starts_with(LFS_START) {
        return Err(FileError::LfsPointer {
            path: path.to_owned(),
            size: lfs_size(&start),
        });
    }
    Ok((size, start))
}

/// Opens a plain file, and says how large it is.
pub(super) fn open(path: &Path, hint: &'static str) -> Result<(File, u64), FileError> {
    let file = open_plain(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => FileError::Missing {
            path: path.to_owned(),
            hint,
        },
        _ => FileError::io("read", path)(source),
    })?;
    let size = file.metadata().map_err(FileError::io("read", path))?.len();
    Ok((file, size))
}

/// The `size N` line of a Git LFS pointer.
fn lfs_size(bytes: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(bytes).ok()?;
    text.lines()
        .find_map(|line| line.strip_prefix("size "))
        .and_then(|size| size.trim().parse().ok())
}
