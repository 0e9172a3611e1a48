//! Blocks of any format taken apart.

use super::BlockError;
use super::apart::{Lines, TakeApart};
use crate::GgmlType;

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
