//! The idx files of MNIST: big-endian sizes, then one byte per pixel; the labels are in a second file.

use std::path::{Path, PathBuf};

use super::{Picture, Pixels};
use crate::TrainError;
use crate::data::bytes::unpacked;

/// Unsigned bytes in three dimensions: images, rows, columns.
const IMAGES: [u8; 4] = [0, 0, 8, 3];
/// Unsigned bytes in one dimension.
const LABELS: [u8; 4] = [0, 0, 8, 1];

/// Whether the name is one of an idx file: it has `idx` and a digit after a dash or a dot.
pub(super) fn is_idx(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let marks = ["-idx", ".idx"].into_iter();
    let mut after = marks.filter_map(|mark| name.split_once(mark));
    after.any(|(_, rest)| rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// Images, and their labels as numbers.
pub(super) fn read(path: &Path, labelled: bool) -> Result<(Vec<Picture>, Vec<String>), TrainError> {
    let bytes = unpacked(path)?;
    let ([count, height, width], pixels) = parse(path, &bytes, IMAGES)?;
    let pictures: Vec<Picture> = pixels
        .chunks_exact((height * width).max(1))
        .map(|values| {
            Picture::Pixels(Pixels {
                width,
                height,
                channels: 1,
                values: values.to_vec(),
            })
        })
        .collect();
    if !labelled {
        return Ok((pictures, vec![]));
    }
    let beside = labels_of(path)?;
    let bytes = unpacked(&beside)?;
    let ([labels], values) = parse(&beside, &bytes, LABELS)?;
    if labels != count {
        return Err(wrong(
            &beside,
            format!("{count} labels"),
            format!("{labels}"),
        ));
    }
    let labels = values.iter().map(u8::to_string).collect();
    Ok((pictures, labels))
}

/// The file of the labels beside one of images.
fn labels_of(path: &Path) -> Result<PathBuf, TrainError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = name.replace("images", "labels").replace("idx3", "idx1");
    if beside == name {
        return Err(wrong(
            path,
            "a name with `images`, whose labels stand in the file with `labels` in its place"
                .into(),
            name.into_owned(),
        ));
    }
    Ok(path.with_file_name(beside))
}

/// The sizes and the values after them, whose number the sizes must warrant.
fn parse<'a, const D: usize>(
    path: &Path,
    bytes: &'a [u8],
    magic: [u8; 4],
) -> Result<([usize; D], &'a [u8]), TrainError> {
    let head = 4 + 4 * D;
    if bytes.len() < head || bytes[..4] != magic {
        let start = &bytes[..bytes.len().min(4)];
        return Err(wrong(
            path,
            format!("an idx file that begins {magic:?}"),
            format!("{start:?}"),
        ));
    }
    let mut sizes = [0; D];
    for (size, bytes) in sizes.iter_mut().zip(bytes[4..head].chunks_exact(4)) {
        *size = bytes
            .iter()
            .fold(0, |value, byte| (value << 8) | usize::from(*byte));
    }
    let values = sizes
        .iter()
        .try_fold(1_usize, |all, size| all.checked_mul(*size));
    let found = bytes.len() - head;
    if values != Some(found) || found == 0 {
        return Err(wrong(
            path,
            format!("{sizes:?} values as its head says"),
            format!("{found}"),
        ));
    }
    Ok((sizes, &bytes[head..]))
}

fn wrong(path: &Path, expected: String, found: String) -> TrainError {
    TrainError::Picture {
        path: path.to_path_buf(),
        message: format!("expected {expected}, found {found}"),
    }
}
