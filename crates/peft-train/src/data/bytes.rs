//! The bytes of a data file, unpacked where they are packed, and files that are no data refused by what they are.

use std::path::Path;

use flate2::read::MultiGzDecoder;
use peft_core::file::input::{DATA_LIMIT, UNPACKED_LIMIT, open_plain, within};

use super::table_error::TableError;
use crate::TrainError;

/// How many times its size a packed file may become, where that is more than [`UNPACKED_LIMIT`].
const RATIO: u64 = 100;
/// How a gzip file begins.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Beginnings of files that hold data in a form that is not read, what they are, and what to do.
const OTHERS: [(&[u8], &str, &str); 8] = [
    (
        b"PK\x03\x04",
        "a zip archive or an Excel workbook",
        "unpack it, or save the sheet as CSV",
    ),
    (
        &[0xd0, 0xcf, 0x11, 0xe0],
        "an Excel workbook",
        "save the sheet as CSV",
    ),
    (&[0xfd, b'7', b'z', b'X', b'Z'], "packed by xz", "unpack it"),
    (b"BZh", "packed by bzip2", "unpack it"),
    (&[0x28, 0xb5, 0x2f, 0xfd], "packed by zstd", "unpack it"),
    (
        b"ARROW1",
        "an Arrow file",
        "write it as Parquet or JSON lines",
    ),
    (
        b"SQLite format 3",
        "an SQLite database",
        "export the table as CSV",
    ),
    (b"%PDF-", "a PDF", "give a table of texts"),
];

/// The bytes of a file, unpacked when it is a gzip file, whatever it is called.
pub(super) fn unpacked(path: &Path) -> Result<Vec<u8>, TrainError> {
    let failed = |source| TrainError::Read {
        path: path.to_path_buf(),
        source,
    };
    let most = DATA_LIMIT.get();
    let bytes = within(open_plain(path).map_err(failed)?, DATA_LIMIT, most).map_err(failed)?;
    if !bytes.starts_with(&GZIP) {
        return Ok(bytes);
    }
    let likely = UNPACKED_LIMIT.get().max(RATIO * bytes.len() as u64);
    let (limit, most) = match likely < most {
        true => (UNPACKED_LIMIT, likely),
        false => (DATA_LIMIT, most),
    };
    within(MultiGzDecoder::new(bytes.as_slice()), limit, most).map_err(failed)
}

/// Refuses a file that is known to be something else than text.
pub(super) fn refuse_other_forms(path: &Path, bytes: &[u8]) -> Result<(), TrainError> {
    let other = OTHERS
        .iter()
        .find(|(beginning, _, _)| bytes.starts_with(beginning));
    match other {
        None => Ok(()),
        Some(&(_, what, help)) => Err(TableError::OtherForm {
            path: path.to_path_buf(),
            what,
            help,
        }
        .into()),
    }
}
