//! From functions of one block to functions of many: what is checked once, so that the loops over blocks check nothing.

use std::hint::black_box;
use std::marker::PhantomData;

use pulp::{Arch, Simd, WithSimd};

use super::BlockError;
use crate::GgmlType;

/// A format whose blocks of `BYTES` bytes hold `VALUES` values.
pub(super) trait Format<const BYTES: usize, const VALUES: usize> {
    const KIND: GgmlType;

    /// The values of one block; `inline(always)`, so that it takes the instruction set of the loop that it is in.
    fn values(block: &[u8; BYTES], out: &mut [f32; VALUES]);
}

/// The values of blocks, with the best instruction set of this processor.
pub(super) fn dequantise_all<F: Format<BYTES, VALUES>, const BYTES: usize, const VALUES: usize>(
    bytes: &[u8],
    out: &mut [f32],
) -> Result<(), BlockError> {
    let length = BlockError::Length {
        kind: F::KIND,
        bytes: bytes.len(),
        values: out.len(),
    };
    let (blocks, rest) = bytes.as_chunks::<BYTES>();
    let (places, room) = out.as_chunks_mut::<VALUES>();
    if !rest.is_empty() || !room.is_empty() || blocks.len() != places.len() {
        return Err(length);
    }
    Arch::new().dispatch(Each::<F, BYTES, VALUES> {
        blocks,
        places,
        format: PhantomData,
    });
    Ok(())
}

/// Blocks and the places of their values.
struct Each<'a, F, const BYTES: usize, const VALUES: usize> {
    blocks: &'a [[u8; BYTES]],
    places: &'a mut [[f32; VALUES]],
    format: PhantomData<F>,
}

impl<F: Format<BYTES, VALUES>, const BYTES: usize, const VALUES: usize> WithSimd
    for Each<'_, F, BYTES, VALUES>
{
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        for (bytes, place) in self.blocks.iter().zip(self.places) {
            // A copy, for then it is plain that no value is written over bytes that are still to be read.
            let block = *bytes;
            // Left to itself the compiler takes value after value of many blocks at a time, from everywhere, rather than a block.
            let place = if VALUES > 1 { black_box(place) } else { place };
            F::values(&block, place);
        }
    }
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
