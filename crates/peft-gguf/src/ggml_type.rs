//! The formats that a tensor of a GGUF file can have.

use std::fmt;

/// A format of ggml: values come in blocks of a fixed number, and every block takes the same number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(
    non_camel_case_types,
    reason = "these are the names by which everybody knows them"
)]
#[non_exhaustive]
#[repr(u32)]
pub enum GgmlType {
    /// Single precision.
    F32 = 0,
    /// Half precision.
    F16 = 1,
    /// 4 bits and a scale for 32 values.
    Q4_0 = 2,
    /// 4 bits, a scale and a minimum for 32 values.
    Q4_1 = 3,
    /// 5 bits and a scale for 32 values.
    Q5_0 = 6,
    /// 5 bits, a scale and a minimum for 32 values.
    Q5_1 = 7,
    /// 8 bits and a scale for 32 values.
    Q8_0 = 8,
    /// `Q8_0` with the sum of the block, for products; not meant for files.
    Q8_1 = 9,
    /// 2 bits, with 4-bit scales and minima for 16 values.
    Q2_K = 10,
    /// 3 bits, with 6-bit scales for 16 values.
    Q3_K = 11,
    /// 4 bits, with 6-bit scales and minima for 32 values.
    Q4_K = 12,
    /// 5 bits, with 6-bit scales and minima for 32 values.
    Q5_K = 13,
    /// 6 bits, with 8-bit scales for 16 values.
    Q6_K = 14,
    /// 8 bits with sums, for products; not meant for files.
    Q8_K = 15,
    /// 2.06 bits, by a codebook.
    IQ2_XXS = 16,
    /// 2.31 bits, by a codebook.
    IQ2_XS = 17,
    /// 3.06 bits, by a codebook.
    IQ3_XXS = 18,
    /// 1.56 bits, by a codebook.
    IQ1_S = 19,
    /// 4 bits of unequal steps.
    IQ4_NL = 20,
    /// 3.44 bits, by a codebook.
    IQ3_S = 21,
    /// 2.56 bits, by a codebook.
    IQ2_S = 22,
    /// 4.25 bits of unequal steps.
    IQ4_XS = 23,
    /// 8-bit integers.
    I8 = 24,
    /// 16-bit integers.
    I16 = 25,
    /// 32-bit integers.
    I32 = 26,
    /// 64-bit integers.
    I64 = 27,
    /// Double precision.
    F64 = 28,
    /// 1.75 bits, by a codebook.
    IQ1_M = 29,
    /// The upper half of single precision.
    BF16 = 30,
    /// Ternary values, five in a byte.
    TQ1_0 = 34,
    /// Ternary values, four in a byte.
    TQ2_0 = 35,
    /// 4-bit floating-point numbers with a power of two for 32 values.
    MXFP4 = 39,
    /// 4-bit floating-point numbers with an 8-bit scale for 16 values.
    NVFP4 = 40,
    /// 1 bit and a scale for 128 values.
    Q1_0 = 41,
    /// 2 bits and a scale for 64 values.
    Q2_0 = 42,
}

/// A type, its name in llama.cpp, values in a block, bytes of a block.
type Row = (GgmlType, &'static str, u64, u64);

#[rustfmt::skip]
const TABLE: [Row; 35] = {
    use GgmlType::*;
    [
        (F32, "F32", 1, 4), (F16, "F16", 1, 2), (BF16, "BF16", 1, 2), (F64, "F64", 1, 8),
        (I8, "I8", 1, 1), (I16, "I16", 1, 2), (I32, "I32", 1, 4), (I64, "I64", 1, 8),
        (Q4_0, "Q4_0", 32, 18), (Q4_1, "Q4_1", 32, 20), (Q5_0, "Q5_0", 32, 22), (Q5_1, "Q5_1", 32, 24),
        (Q8_0, "Q8_0", 32, 34), (Q8_1, "Q8_1", 32, 36),
        (Q2_K, "Q2_K", 256, 84), (Q3_K, "Q3_K", 256, 110), (Q4_K, "Q4_K", 256, 144), (Q5_K, "Q5_K", 256, 176),
        (Q6_K, "Q6_K", 256, 210), (Q8_K, "Q8_K", 256, 292),
        (IQ2_XXS, "IQ2_XXS", 256, 66), (IQ2_XS, "IQ2_XS", 256, 74), (IQ2_S, "IQ2_S", 256, 82),
        (IQ3_XXS, "IQ3_XXS", 256, 98), (IQ3_S, "IQ3_S", 256, 110), (IQ1_S, "IQ1_S", 256, 50), (IQ1_M, "IQ1_M", 256, 56),
        (IQ4_NL, "IQ4_NL", 32, 18), (IQ4_XS, "IQ4_XS", 256, 136),
        (TQ1_0, "TQ1_0", 256, 54), (TQ2_0, "TQ2_0", 256, 66),
        (MXFP4, "MXFP4", 32, 17), (NVFP4, "NVFP4", 64, 36), (Q1_0, "Q1_0", 128, 18), (Q2_0, "Q2_0", 64, 18),
    ]
};

/// Ids of formats that llama.cpp once wrote and reads no more.
const REMOVED: [(u32, &str); 8] = [
    (4, "Q4_2"),
    (5, "Q4_3"),
    (31, "Q4_0_4_4"),
    (32, "Q4_0_4_8"),
    (33, "Q4_0_8_8"),
    (36, "IQ4_NL_4_4"),
    (37, "IQ4_NL_4_8"),
    (38, "IQ4_NL_8_8"),
];

impl GgmlType {
    /// Every type, in no particular order.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|row| row.0)
    }

    /// The type of an id in a file; `None` where there is none.
    #[must_use]
    pub fn from_id(id: u32) -> Option<Self> {
        Self::all().find(|kind| kind.id() == id)
    }

    /// The type of a name such as `Q4_K` or `q4_k`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let row = TABLE.iter().find(|row| row.1.eq_ignore_ascii_case(name))?;
        Some(row.0)
    }

    /// The name of an id that is no type any more.
    pub(crate) fn removed(id: u32) -> Option<&'static str> {
        let (_, name) = REMOVED.iter().find(|(removed, _)| *removed == id)?;
        Some(name)
    }

    /// The id in a file.
    #[must_use]
    pub const fn id(self) -> u32 {
        self as u32
    }

    fn row(self) -> Row {
        let row = TABLE.iter().find(|row| row.0 == self);
        // Every variant has its row, which a test checks.
        row.copied().unwrap_or((self, "unknown", 1, 1))
    }

    /// The name that llama.cpp gives it.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// Values in a block.
    #[must_use]
    pub fn block_values(self) -> u64 {
        self.row().2
    }

    /// Bytes of a block.
    #[must_use]
    pub fn block_bytes(self) -> u64 {
        self.row().3
    }

    /// Bytes of so many values that stand in a row; `None` where they do not fill whole blocks, or where the number is too large.
    #[must_use]
    pub fn bytes(self, values: u64) -> Option<u64> {
        let (_, _, block_values, block_bytes) = self.row();
        let whole = values.is_multiple_of(block_values);
        whole.then(|| (values / block_values).checked_mul(block_bytes))?
    }

    /// Whether [`dequantise`](crate::block::dequantise) can make numbers of it.
    #[must_use]
    pub fn can_dequantise(self) -> bool {
        use GgmlType::*;
        self.can_quantise() || matches!(self, F64 | I8 | I16 | I32 | I64 | Q2_K | Q3_K)
    }

    /// Whether [`quantise`](crate::block::quantise) can make it of numbers.
    #[must_use]
    pub fn can_quantise(self) -> bool {
        use GgmlType::*;
        matches!(
            self,
            F32 | F16 | BF16 | Q4_0 | Q4_1 | Q5_0 | Q5_1 | Q8_0 | Q4_K | Q5_K | Q6_K
        )
    }
}

impl fmt::Display for GgmlType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_is_a_type_or_removed_and_names_are_found_again() {
        for id in 0..=42 {
            let kind = GgmlType::from_id(id);
            assert_ne!(kind.is_some(), GgmlType::removed(id).is_some(), "{id}");
            let Some(kind) = kind else { continue };
            assert_eq!(kind.id(), id);
            assert_eq!(GgmlType::from_name(&kind.name().to_lowercase()), Some(kind));
            assert_eq!(format!("{kind:?}"), kind.name());
        }
        assert_eq!(GgmlType::from_id(43), None);
        assert_eq!(GgmlType::from_id(u32::MAX), None);
        assert_eq!(GgmlType::all().count() + REMOVED.len(), 43);
    }

    #[test]
    fn bytes_are_those_of_whole_blocks() {
        assert_eq!(GgmlType::Q4_K.bytes(512), Some(288));
        assert_eq!(GgmlType::Q4_K.bytes(511), None);
        assert_eq!(GgmlType::F32.bytes(u64::MAX), None);
        assert_eq!(GgmlType::F16.bytes(0), Some(0));
    }
}
