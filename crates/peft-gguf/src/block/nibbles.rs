//! 32 integers of four or five bits, as the formats of 32 values store them.

/// The value of each of 32 integers of four bits: byte `i` holds integer `i` below and integer `i + 16` above.
#[inline(always)]
pub(super) fn unpack(bytes: &[u8], out: &mut [f32; 32], value: impl Fn(u8) -> f32) {
    let (low, high) = out.split_at_mut(16);
    for ((low, high), &byte) in low.iter_mut().zip(high).zip(bytes) {
        *low = value(byte & 15);
        *high = value(byte >> 4);
    }
}

/// As [`unpack`] with a fifth bit for each integer: bit `i` of `fifth` belongs to integer `i`.
#[inline(always)]
pub(super) fn unpack_five(
    bytes: &[u8],
    fifth: u32,
    out: &mut [f32; 32],
    value: impl Fn(u8) -> f32,
) {
    // Bit masks that are known when compiling, for shifts by a variable are not made several at once.
    let mut sixteens = [0; 32];
    for (eight, byte) in sixteens
        .as_chunks_mut::<8>()
        .0
        .iter_mut()
        .zip(fifth.to_le_bytes())
    {
        *eight = std::array::from_fn(|at| if byte & 1 << at == 0 { 0 } else { 16 });
    }
    let (low_sixteens, high_sixteens) = sixteens.split_at(16);
    let (low, high) = out.split_at_mut(16);
    for ((low, byte), sixteen) in low.iter_mut().zip(bytes).zip(low_sixteens) {
        *low = value(byte & 15 | sixteen);
    }
    for ((high, byte), sixteen) in high.iter_mut().zip(bytes).zip(high_sixteens) {
        *high = value(byte >> 4 | sixteen);
    }
}

/// Packs the lower four bits of 32 integers.
#[inline]
pub(super) fn pack(quants: &[u8; 32], bytes: &mut [u8]) {
    let (low, high) = quants.split_at(16);
    for (byte, (low, high)) in bytes.iter_mut().zip(low.iter().zip(high)) {
        *byte = low & 15 | high << 4;
    }
}

/// The fifth bits of 32 integers.
#[inline]
pub(super) fn fifth_bits(quants: &[u8; 32]) -> u32 {
    let bits = quants.iter().enumerate();
    bits.fold(0, |all, (at, q)| all | u32::from(q >> 4 & 1) << at)
}
