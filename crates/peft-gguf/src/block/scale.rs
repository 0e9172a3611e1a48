//! What the formats have in common: scales in half precision, the largest value, rounding.

use half::f16;

/// A half-precision number of a block; `at` is known when compiling, so that nothing is checked at run time.
#[inline(always)]
pub(super) fn half_at<const BYTES: usize>(block: &[u8; BYTES], at: usize) -> f32 {
    single(u16::from_le_bytes([block[at], block[at + 1]]))
}

/// Some bytes of a block.
#[inline(always)]
pub(super) fn part<const BYTES: usize, const PART: usize>(
    block: &[u8; BYTES],
    at: usize,
) -> &[u8; PART] {
    block[at..]
        .first_chunk()
        .expect("a block holds all its parts")
}

/// A half-precision number, given its bits, in single precision.
///
/// Nothing is asked and nothing called, as the conversion of `half` does to find the processor's instruction: scales are converted
/// block by block and would wait for it, and many at once are as fast this way.
#[inline(always)]
pub(super) fn single(half: u16) -> f32 {
    /// The least normal number of half precision, 2^-14.
    const NORMAL: u32 = 113 << 23;
    let (sign, rest) = (
        u32::from(half & 0x8000) << 16,
        u32::from(half & 0x7fff) << 13,
    );
    let normal = rest + (112 << 23);
    let subnormal = (f32::from_bits(rest + NORMAL) - f32::from_bits(NORMAL)).to_bits();
    let infinite = rest | 0x7f80_0000;
    let quiet = if rest > 0x0f80_0000 { 0x0040_0000 } else { 0 };
    let finite = if rest < 1 << 23 { subnormal } else { normal };
    let magnitude = if rest >= 0x0f80_0000 {
        infinite | quiet
    } else {
        finite
    };
    f32::from_bits(sign | magnitude)
}

/// The bytes of a scale; `None` where half precision has no such number.
#[inline]
pub(super) fn half_bytes(scale: f32) -> Option<[u8; 2]> {
    let half = f16::from_f32(scale);
    half.is_finite().then(|| half.to_le_bytes())
}

/// The first value of the largest magnitude and its position; zero where there are only zeros.
#[inline]
pub(super) fn largest(values: &[f32]) -> (usize, f32) {
    let mut found = (0, 0.0_f32);
    for (at, &value) in values.iter().enumerate() {
        if value.abs() > found.1.abs() {
            found = (at, value);
        }
    }
    found
}

/// The smallest and the largest of finite values.
#[inline]
pub(super) fn range(values: &[f32]) -> (f32, f32) {
    let start = (f32::MAX, f32::MIN);
    values.iter().fold(start, |(least, most), &value| {
        (
            if value < least { value } else { least },
            if value > most { value } else { most },
        )
    })
}

/// `1 / scale`; zero where that is beyond single precision, for half precision has no scale but zero then.
#[inline]
pub(super) fn inverse(scale: f32) -> f32 {
    let inverse = 1.0 / scale;
    if inverse.is_finite() { inverse } else { 0.0 }
}

/// The nearest integer, halves to even, of a number below 2^22 in magnitude; any integer for others.
///
/// The sum pushes the fraction out of the mantissa, which then is the integer: processors without an instruction for rounding
/// would call a function otherwise.
#[inline(always)]
pub(super) fn nearest(value: f32) -> i32 {
    const PUSH: f32 = 12_582_912.0;
    ((value + PUSH).to_bits() & 0x007f_ffff) as i32 - 0x0040_0000
}

/// The nearest integer, halves away from zero, of a number of at most 2^22 in magnitude.
#[inline(always)]
pub(super) fn nearest_away(value: f32) -> i32 {
    let whole = value as i32;
    let rest = value - whole as f32;
    whole + i32::from(rest >= 0.5) - i32::from(rest <= -0.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_is_that_of_the_standard_library() {
        let some = [0.0, 0.5, 1.5, 2.5, 0.499_999_97, 126.5, 127.0, 63.499_996];
        for value in some.into_iter().flat_map(|value| [value, -value]) {
            assert_eq!(nearest(value), value.round_ties_even() as i32, "{value}");
            assert_eq!(nearest_away(value), value.round() as i32, "{value}");
        }
    }

    #[test]
    fn halves_are_converted_as_the_processor_does_it() {
        for half in 0..=u16::MAX {
            let expected = f16::from_bits(half).to_f32();
            assert_eq!(single(half).to_bits(), expected.to_bits(), "{half:#x}");
        }
    }

    #[test]
    fn what_half_precision_cannot_hold_is_told() {
        assert_eq!(half_bytes(65_519.0), Some([0xff, 0x7b]));
        assert_eq!(half_bytes(65_520.0), None);
        assert_eq!(half_bytes(f32::NAN), None);
    }
}
