//! Packed values in the one form that devices with a memory of their own keep: whole numbers of few bits, and what makes values of them.
//!
//! The formats of files are many and made for processors: codes of 5 and 6 bits in several places of a block, scales of scales. A device takes them apart
//! nowhere; they are sent to it like this once, in 6 bits a value where a format has 4.5, and in 12 at most.

/// A matrix `[rows, columns]`, row after row.
#[derive(Debug, Clone, PartialEq)]
pub enum Codes {
    /// Values of two bytes: the upper half of f32.
    Bf16(Vec<u16>),
    /// Values of two bytes: half precision.
    F16(Vec<u16>),
    /// `scale * code + offset`, with a scale and an offset for each group of neighbours.
    Lines {
        /// One code for each value.
        codes: Vec<u8>,
        /// Bits that are kept of each, 4 or 8.
        bits: usize,
        /// Values of a group; a row is a whole number of groups.
        group: usize,
        /// What a code is multiplied by.
        scales: Vec<f32>,
        /// What is added then.
        offsets: Vec<f32>,
    },
    /// `scale * table[code]`, with a scale for each group of neighbours.
    Table {
        /// One code below 16 for each value.
        codes: Vec<u8>,
        /// Values of a group; a row is a whole number of groups.
        group: usize,
        /// What a value of the table is multiplied by.
        scales: Vec<f32>,
        /// What the codes stand for.
        table: [f32; 16],
    },
}

#[cfg(any(feature = "cube", test))]
impl Codes {
    /// Bits of a code in a word.
    pub(super) fn bits(&self) -> usize {
        match self {
            Self::Bf16(_) | Self::F16(_) => 16,
            Self::Lines { bits, .. } => *bits,
            Self::Table { .. } => 4,
        }
    }

    /// Values that have a scale in common.
    pub(super) fn group(&self) -> usize {
        match self {
            Self::Bf16(_) | Self::F16(_) => 1,
            Self::Lines { group, .. } | Self::Table { group, .. } => *group,
        }
    }

    /// The codes in words of 32 bits, the first in the lowest bits; each row begins with a word.
    pub(super) fn words(&self, columns: usize) -> Vec<i32> {
        let bits = self.bits();
        match self {
            Self::Bf16(codes) | Self::F16(codes) => words(codes, columns, bits),
            Self::Lines { codes, .. } | Self::Table { codes, .. } => words(codes, columns, bits),
        }
    }

    /// Scales, and behind them offsets or the table; one number that nothing reads where there are none.
    pub(super) fn lines(&self) -> Vec<f32> {
        match self {
            Self::Bf16(_) | Self::F16(_) => vec![0.0],
            Self::Lines {
                scales, offsets, ..
            } => [&scales[..], offsets].concat(),
            Self::Table { scales, table, .. } => [&scales[..], table].concat(),
        }
    }
}

#[cfg(any(feature = "cube", test))]
fn words<C: Copy + Into<u32>>(codes: &[C], columns: usize, bits: usize) -> Vec<i32> {
    let rows = codes.chunks(columns.max(1));
    let of_row = |row: &[C]| -> Vec<i32> {
        let words = row.chunks(32 / bits).map(|codes| {
            let codes = codes.iter().rev();
            let word = codes.fold(0_u32, |word, code| word << bits | (*code).into());
            word.cast_signed()
        });
        words.collect()
    };
    rows.flat_map(of_row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_begins_with_a_word() {
        let codes = Codes::Bf16(vec![1, 2, 3, 0xffff, 5, 6]);
        assert_eq!(codes.words(3), [0x2_0001, 3, 0x5_ffff, 6]);
        let nibbles = Codes::Table {
            codes: (0..16).collect(),
            group: 8,
            scales: vec![1.0, 2.0],
            table: [0.5; 16],
        };
        assert_eq!(
            nibbles.words(8),
            [0x7654_3210, 0xfedc_ba98_u32.cast_signed()]
        );
        assert_eq!(nibbles.lines().len(), 18);
    }
}
