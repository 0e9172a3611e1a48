//! The tar form, which PyTorch wrote before 0.1.10.

use std::fs::File;
use std::io::{BufReader, Cursor, Read};
use std::path::Path;

use super::walk::{Cost, skip, truncated};

/// Bytes per element of the storage types, by what their pickled class is called.
const STORAGES: [(&[u8], u64); 10] = [
    (b"DoubleStorage", 8),
    (b"LongStorage", 8),
    (b"FloatStorage", 4),
    (b"IntStorage", 4),
    (b"BFloat16Storage", 2),
    (b"HalfStorage", 2),
    (b"ShortStorage", 2),
    (b"CharStorage", 1),
    (b"ByteStorage", 1),
    (b"BoolStorage", 1),
];

/// Most dimensions of a tensor.
const MAX_DIMENSIONS: u32 = 64;

/// Checks an archive of `length` bytes.
///
/// # Errors
/// Why the archive is not given to the interpreter: damage, entries that expand (sparse files), or pickles that cost
/// too much.
pub(super) fn survey(path: &Path, length: u64) -> Result<(), String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let mut archive = tar::Archive::new(BufReader::new(file));
    let mut cost = Cost::default();
    for entry in archive.entries().map_err(|error| error.to_string())? {
        let mut entry = entry.map_err(|error| error.to_string())?;
        let name = entry.path().map_err(|error| error.to_string())?;
        let name = name.to_string_lossy().trim_start_matches("./").to_owned();
        let kind = entry.header().entry_type();
        if !(kind.is_file() || kind.is_dir()) || entry.size() > length {
            return Err(format!(
                "entry `{name}` is no plain file of at most {length} bytes"
            ));
        }
        if !["sys_info", "storages", "tensors", "pickle"].contains(&name.as_str()) {
            continue;
        }
        let mut bytes = Vec::new();
        entry
            .read_to_end(&mut bytes)
            .map_err(|error| error.to_string())?;
        let mut bytes = Cursor::new(bytes.as_slice());
        match name.as_str() {
            "storages" => storages(&mut cost, &mut bytes)?,
            "tensors" => tensors(&mut cost, &mut bytes)?,
            _ => cost.add_pickle(&mut bytes)?,
        }
    }
    Ok(())
}

/// A count, then per storage its description, its number of elements and the elements; then a list of views.
fn storages(cost: &mut Cost, bytes: &mut Cursor<&[u8]>) -> Result<(), String> {
    cost.add_pickle(bytes)?;
    loop {
        let start = position(bytes);
        cost.add_pickle(bytes)?;
        let description = &bytes.get_ref()[start..position(bytes)];
        let element = STORAGES
            .iter()
            .find(|(class, _)| description.windows(class.len()).any(|part| part == *class));
        let Some((_, element)) = element else {
            return Ok(());
        };
        let count = u64::from_le_bytes(array(bytes)?);
        skip(bytes, count.saturating_mul(*element))?;
    }
}

/// A count, then per tensor its description, its number of dimensions, sizes, strides and offset.
fn tensors(cost: &mut Cost, bytes: &mut Cursor<&[u8]>) -> Result<(), String> {
    cost.add_pickle(bytes)?;
    while position(bytes) < bytes.get_ref().len() {
        cost.add_pickle(bytes)?;
        let dimensions = u32::from_le_bytes(array(bytes)?);
        if dimensions > MAX_DIMENSIONS {
            return Err(format!("a tensor claims {dimensions} dimensions"));
        }
        skip(bytes, 4 + 16 * u64::from(dimensions) + 8)?;
    }
    Ok(())
}

/// Position in a slice, which fits its length.
fn position(bytes: &Cursor<&[u8]>) -> usize {
    usize::try_from(bytes.position()).unwrap_or(usize::MAX)
}

fn array<const N: usize>(bytes: &mut Cursor<&[u8]>) -> Result<[u8; N], String> {
    let mut array = [0; N];
    bytes.read_exact(&mut array).map_err(|_error| truncated())?;
    Ok(array)
}
