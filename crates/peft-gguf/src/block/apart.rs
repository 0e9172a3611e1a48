//! Blocks taken apart, for devices that have no instructions for any of the formats: the integer of each value, and for each group of
//! neighbours the line that makes numbers of them.

use super::whole::Format;

/// Values as integers: value `i` is `scales[i / group] * codes[i] + offsets[i / group]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Lines {
    /// Bits that the integers have at most.
    pub bits: usize,
    /// Values of a group; a block is a whole number of groups.
    pub group: usize,
    /// The integer of each value.
    pub codes: Vec<u8>,
    /// What an integer is multiplied by, for each group.
    pub scales: Vec<f32>,
    /// What is added then.
    pub offsets: Vec<f32>,
}

/// A format whose values are integers on lines.
pub(super) trait Apart<const BYTES: usize, const VALUES: usize>:
    Format<BYTES, VALUES>
{
    /// Bits of the integers, 4 or 8.
    const BITS: usize;
    /// Values that have a line in common.
    const GROUP: usize;

    /// The integers of a block, and the line of each of its groups, in order.
    fn apart(block: &[u8; BYTES], codes: &mut [u8; VALUES], line: &mut impl FnMut(f32, f32));
}

/// Takes blocks apart; `None` where the bytes are not whole blocks.
pub(super) type TakeApart = fn(&[u8]) -> Option<Lines>;

/// See [`TakeApart`].
pub(super) fn take_apart<F: Apart<BYTES, VALUES>, const BYTES: usize, const VALUES: usize>(
    bytes: &[u8],
) -> Option<Lines> {
    let (blocks, rest) = bytes.as_chunks::<BYTES>();
    if !rest.is_empty() {
        return None;
    }
    let mut codes = vec![0; blocks.len() * VALUES];
    let (mut scales, mut offsets) = (Vec::new(), Vec::new());
    for (block, codes) in blocks.iter().zip(codes.as_chunks_mut::<VALUES>().0) {
        F::apart(block, codes, &mut |scale, offset| {
            scales.push(scale);
            offsets.push(offset);
        });
    }
    Some(Lines {
        bits: F::BITS,
        group: F::GROUP,
        codes,
        scales,
        offsets,
    })
}
