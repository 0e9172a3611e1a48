//! Checks of a PyTorch file before it is interpreted: which container it is, and that it holds what it claims.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use super::walk::Cost;
use super::{tar_form, zip_form};

/// How an archive begins, with entries and without.
const ZIP_STARTS: [&[u8]; 2] = [b"PK\x03\x04", b"PK\x05\x06"];

/// Where a TAR header says that it is one.
const TAR_MAGIC: std::ops::Range<usize> = 257..262;

/// `LONG1` operand with which PyTorch 0.1.10 to 1.5 begins a file.
const LEGACY_MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/// How far from the start the magic number may stand.
const LEGACY_SEARCH: usize = 64;

/// Pickles at the start of a legacy file: magic number, protocol, system, the saved object, the storages' names.
const LEGACY_PICKLES: usize = 5;

/// Checks a file of `length` bytes.
///
/// # Errors
/// Why the file is not given to the interpreter.
pub(super) fn survey(path: &Path, length: u64) -> Result<(), String> {
    let mut file = File::open(path).map_err(|error| error.to_string())?;
    let mut start = Vec::new();
    file.by_ref()
        .take(TAR_MAGIC.end as u64)
        .read_to_end(&mut start)
        .map_err(|error| error.to_string())?;
    // In the reader's own order, so that a file of two forms is checked as the one that it will be read as.
    if ZIP_STARTS.iter().any(|magic| start.starts_with(magic)) {
        return zip_form::survey(path, length);
    }
    if start.get(TAR_MAGIC) == Some(b"ustar") {
        return tar_form::survey(path, length);
    }
    let search = &start[..start.len().min(LEGACY_SEARCH)];
    if !search
        .windows(LEGACY_MAGIC.len())
        .any(|window| window == LEGACY_MAGIC)
    {
        return Err("it has none of the forms that torch.save writes".to_owned());
    }
    let mut reader = BufReader::new(File::open(path).map_err(|error| error.to_string())?);
    let mut cost = Cost::default();
    (0..LEGACY_PICKLES).try_for_each(|_| cost.add_pickle(&mut reader))
}
