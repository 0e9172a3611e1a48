//! 32 integers of four or five bits, as the formats of 32 values store them.

/// 32 integers of four bits: byte `i` holds integer `i` below and integer `i + 16` above.
#[inline(always)]
pub(super) fn unpack(bytes: &[u8; 16]) -> [u8; 32] {
    let mut quants = [0; 32];
    let (low, high) = quants.split_at_mut(16);
    for (low, byte) in low.iter_mut().zip(bytes) {
        *low = byte & 15;
    }
    for (high, byte) in high.iter_mut().zip(bytes) {
        *high = byte >> 4;
    }
    quants
}

/// As [`unpack`] with a fifth bit for each integer: bit `i` of `fifth` belongs to integer `i`.
#[inline(always)]
pub(super) fn unpack_five(bytes: &[u8; 16], fifth: [u8; 4]) -> [u8; 32] {
    let mut quants = unpack(bytes);
    let fifth = u32::from_le_bytes(fifth);
    for (at, quant) in quants.iter_mut().enumerate() {
        *quant |= ((fifth >> at) as u8 & 1) << 4;
    }
    quants
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
