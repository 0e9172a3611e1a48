//! The zip form, which PyTorch writes since 1.6: `data.pkl` and one uncompressed entry per storage.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use zip::{CompressionMethod, ZipArchive};

use super::walk::{Cost, truncated};

/// Most entries of an archive; a state dict has one per tensor.
const MAX_ENTRIES: u64 = 1 << 16;

/// The end of an archive lies within so many bytes of the end of the file.
const TAIL: u64 = (1 << 16) + 128;

/// Start of the record that counts the entries with 64 bits.
const END64: &[u8; 4] = b"PK\x06\x06";

/// Where that record has the number of entries.
const END64_ENTRIES: std::ops::Range<usize> = 32..40;

/// Checks an archive of `length` bytes.
///
/// # Errors
/// Why the archive is not given to the interpreter: damage, compression (a few bytes would become gigabytes), entries
/// that overlap, or a pickle that costs too much.
pub(super) fn survey(path: &Path, length: u64) -> Result<(), String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    check_end(&file, length)?;
    let mut archive = ZipArchive::new(BufReader::new(file))
        .map_err(|error| format!("{error}; {}", truncated()))?;
    let mut claimed = 0_u64;
    let mut pickles = Vec::new();
    for index in 0..archive.len() {
        let entry = archive
            .by_index_raw(index)
            .map_err(|error| format!("entry {index}: {error}"))?;
        let name = entry
            .name()
            .map_err(|error| format!("entry {index}: {error}"))?
            .into_owned();
        if entry.compression() != CompressionMethod::Stored {
            return Err(format!(
                "entry `{name}` is compressed, which torch.save never does: save it again with torch.save"
            ));
        }
        claimed = claimed.saturating_add(entry.size());
        if name.ends_with("data.pkl") {
            pickles.push(index);
        }
    }
    if claimed > length {
        return Err(format!(
            "its entries claim {claimed} bytes, the file has {length}"
        ));
    }
    let mut cost = Cost::default();
    for index in pickles {
        let entry = archive
            .by_index_raw(index)
            .map_err(|error| format!("entry {index}: {error}"))?;
        cost.add_pickle(&mut BufReader::new(entry))?;
    }
    Ok(())
}

/// The number of entries decides how much is allocated before the first of them is read.
fn check_end(mut file: &File, length: u64) -> Result<(), String> {
    let mut tail = Vec::new();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))
        .and_then(|_| file.take(TAIL).read_to_end(&mut tail))
        .and_then(|_| file.seek(SeekFrom::Start(0)))
        .map_err(|error| error.to_string())?;
    let counts = tail
        .windows(END64_ENTRIES.end)
        .filter(|window| window.starts_with(END64))
        .filter_map(|window| window[END64_ENTRIES].first_chunk::<8>())
        .map(|count| u64::from_le_bytes(*count));
    match counts.max() {
        Some(count) if count > MAX_ENTRIES => Err(format!(
            "it claims {count} entries, more than the {MAX_ENTRIES} that tensors need"
        )),
        _ => Ok(()),
    }
}
