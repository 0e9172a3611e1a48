//! From functions of one block to functions of many: what is checked once, so that the loops over blocks check nothing.

use super::BlockError;
use crate::GgmlType;

/// Applies `block` to every block and its place in `out`.
pub(super) fn dequantise_all<const BYTES: usize, const VALUES: usize>(
    kind: GgmlType,
    bytes: &[u8],
    out: &mut [f32],
    block: impl Fn(&[u8; BYTES], &mut [f32; VALUES]),
) -> Result<(), BlockError> {
    let length = BlockError::Length {
        kind,
        bytes: bytes.len(),
        values: out.len(),
    };
    let (blocks, rest) = bytes.as_chunks::<BYTES>();
    let (places, room) = out.as_chunks_mut::<VALUES>();
    if !rest.is_empty() || !room.is_empty() || blocks.len() != places.len() {
        return Err(length);
    }
    for (bytes, place) in blocks.iter().zip(places) {
        block(bytes, place);
    }
    Ok(())
}

/// Appends what `block` makes of every block of values; `None` of it says that the block's scale is beyond the format. Where
/// values are refused, nothing is appended.
pub(super) fn quantise_all<const BYTES: usize, const VALUES: usize>(
    kind: GgmlType,
    values: &[f32],
    out: &mut Vec<u8>,
    block: impl Fn(&[f32; VALUES]) -> Option<[u8; BYTES]>,
) -> Result<(), BlockError> {
    let (blocks, rest) = values.as_chunks::<VALUES>();
    if !rest.is_empty() {
        return Err(BlockError::Partial {
            kind,
            values: values.len(),
        });
    }
    let before = out.len();
    out.reserve(blocks.len() * BYTES);
    for (number, values) in blocks.iter().enumerate() {
        let start = number * VALUES;
        let made = match values.iter().position(|value| !value.is_finite()) {
            None => block(values).ok_or_else(|| too_large(kind, values, start)),
            Some(at) => Err(BlockError::NotFinite {
                kind,
                index: start + at,
                value: values[at],
            }),
        };
        match made {
            Ok(bytes) => out.extend_from_slice(&bytes),
            Err(error) => {
                out.truncate(before);
                return Err(error);
            }
        }
    }
    Ok(())
}

/// The error for a block whose scale is beyond the format, by its largest value.
fn too_large(kind: GgmlType, values: &[f32], start: usize) -> BlockError {
    let (at, value) = super::scale::largest(values);
    BlockError::TooLarge {
        kind,
        index: start + at,
        value,
    }
}
