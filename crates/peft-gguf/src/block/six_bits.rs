//! Eight scales and eight minima of six bits in twelve bytes, as Q4_K and Q5_K store them.
//!
//! Bytes 0..4 hold scales 0..4 in their lower six bits and bytes 4..8 minima 0..4; the two bits above are bits 4 and 5 of scales 4..8
//! and of minima 4..8. Bytes 8..12 hold the lower four bits: of a scale below, of a minimum above.

/// The scales and the minima.
#[inline(always)]
pub(super) fn unpack(bytes: &[u8; 12]) -> ([u8; 8], [u8; 8]) {
    let (mut scales, mut leasts) = ([0; 8], [0; 8]);
    for at in 0..4 {
        let (scale, least, low) = (bytes[at], bytes[at + 4], bytes[at + 8]);
        scales[at] = scale & 63;
        leasts[at] = least & 63;
        scales[at + 4] = low & 15 | scale >> 6 << 4;
        leasts[at + 4] = low >> 4 | least >> 6 << 4;
    }
    (scales, leasts)
}

/// The twelve bytes of scales and minima below 64.
pub(super) fn pack(scales: &[u8; 8], leasts: &[u8; 8]) -> [u8; 12] {
    let mut bytes = [0; 12];
    for at in 0..4 {
        let (scale, least) = (scales[at + 4], leasts[at + 4]);
        bytes[at] = scales[at] & 63 | scale >> 4 << 6;
        bytes[at + 4] = leasts[at] & 63 | least >> 4 << 6;
        bytes[at + 8] = scale & 15 | least << 4;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packing_and_unpacking_are_inverse() {
        let scales = [0, 63, 1, 32, 17, 63, 48, 15];
        let leasts = [63, 0, 33, 7, 62, 16, 0, 31];
        assert_eq!(unpack(&pack(&scales, &leasts)), (scales, leasts));
        let bytes = [0x9f, 3, 0xff, 0, 0x55, 0xaa, 1, 0xc0, 0xf0, 0x0f, 9, 0xff];
        let (scales, leasts) = unpack(&bytes);
        assert_eq!(pack(&scales, &leasts), bytes);
    }
}
