//! Blocks taken apart, for processors that have an instruction for none of the formats: the integer of each value, and for each group of
//! neighbours the line that makes numbers of them.

use super::BlockError;
use super::whole::Format;
use crate::GgmlType;

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

/// Blocks taken apart; `None` for a format whose values are no integers on lines.
///
/// # Errors
///
/// [`BlockError::Length`] where the bytes are not whole blocks.
pub fn lines(kind: GgmlType, bytes: &[u8]) -> Result<Option<Lines>, BlockError> {
    let take: TakeApart = match kind {
        GgmlType::Q4_0 => super::q4_0::APART,
        GgmlType::Q4_1 => super::q4_1::APART,
        GgmlType::Q5_0 => super::q5_0::APART,
        GgmlType::Q5_1 => super::q5_1::APART,
        GgmlType::Q8_0 => super::q8_0::APART,
        GgmlType::Q2_K => super::q2_k::APART,
        GgmlType::Q3_K => super::q3_k::APART,
        GgmlType::Q4_K => super::q4_k::APART,
        GgmlType::Q5_K => super::q5_k::APART,
        GgmlType::Q6_K => super::q6_k::APART,
        _ => return Ok(None),
    };
    let length = BlockError::Length {
        kind,
        bytes: bytes.len(),
        values: 0,
    };
    take(bytes).map(Some).ok_or(length)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic is the failure report")]
mod tests {
    use super::*;
    use crate::block::dequantise;

    /// Blocks of random bytes with scales that are numbers.
    fn blocks(kind: GgmlType, count: u64) -> Vec<u8> {
        let mut state = 7_u32;
        let bytes = kind.bytes(count * kind.block_values()).unwrap();
        (0..bytes)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                // Half-precision numbers of such upper bytes are finite.
                (state >> 24) as u8 & 0x3f
            })
            .collect()
    }

    #[test]
    fn the_line_of_an_integer_is_its_value() {
        let mut seen = 0;
        for kind in GgmlType::all().filter(|kind| kind.block_values() > 1) {
            let bytes = blocks(kind, 50);
            let Some(lines) = lines(kind, &bytes).unwrap() else {
                continue;
            };
            seen += 1;
            let mut values = vec![0.0; lines.codes.len()];
            dequantise(kind, &bytes, &mut values).unwrap();
            assert!(values.iter().any(|value| *value != 0.0));
            for (at, value) in values.iter().enumerate() {
                let line = at / lines.group;
                let (scale, offset) = (lines.scales[line], lines.offsets[line]);
                let found = scale * f32::from(lines.codes[at]) + offset;
                // The largest term is rounded once more where a format subtracts before it multiplies.
                let slack = 1.2e-7 * offset.abs();
                assert!(
                    (found - value).abs() <= slack,
                    "{kind} at {at}: {found}, {value}"
                );
                assert!(usize::from(lines.codes[at]) < 1 << lines.bits);
            }
            assert!(take_nothing_of_a_piece(kind, &bytes));
        }
        assert_eq!(seen, 10);
    }

    fn take_nothing_of_a_piece(kind: GgmlType, bytes: &[u8]) -> bool {
        matches!(lines(kind, &bytes[1..]), Err(BlockError::Length { .. }))
    }
}
