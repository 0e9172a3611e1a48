//! The 4-bit NormalFloat of QLoRA (Dettmers et al., arXiv 2305.14314).
//!
//! A block of 64 neighbours has one scale, the largest of their sizes, and each value is the nearest of sixteen numbers times that: quantiles
//! of a normal distribution, of which one is exactly 0. Numbers and midpoints are those of bitsandbytes, so that its values come out. The
//! scales stay f32 (4.5 bits a value): QLoRA's second quantisation, that of the scales, would save 0.37 bits and is not done.

use std::ops::Range;

use super::{Codes, PackedRows};

/// Values that share a scale.
const BLOCK: usize = 64;

/// What the codes stand for, at a scale of 1.
const CODES: [f32; 16] = [
    -1.0,
    -0.696_192_8,
    -0.525_073_05,
    -0.394_917_5,
    -0.284_441_38,
    -0.184_773_43,
    -0.091_050_036,
    0.0,
    0.079_580_3,
    0.160_930_2,
    0.246_112_3,
    0.337_915_24,
    0.440_709_83,
    0.562_617,
    0.722_956_84,
    1.0,
];

/// What a value must be above to get the next code: the midpoints.
const ABOVE: [f32; 15] = {
    let mut above = [0.0; 15];
    let mut at = 0;
    while at < above.len() {
        above[at] = (CODES[at] + CODES[at + 1]) / 2.0;
        at += 1;
    }
    above
};

/// What the two codes of a byte stand for: both in one look-up of 2 KiB.
static PAIRS: [[f32; 2]; 256] = {
    let mut pairs = [[0.0; 2]; 256];
    let mut byte = 0;
    while byte < pairs.len() {
        pairs[byte] = [CODES[byte >> 4], CODES[byte & 15]];
        byte += 1;
    }
    pairs
};

/// Why a matrix cannot be rounded to NF4.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Nf4Error {
    /// Rows that are not whole blocks.
    #[error("rows of {columns} values are not whole blocks of nf4, which hold 64 each")]
    Partial {
        /// Values of a row.
        columns: usize,
    },
    /// NaN or an infinity, which would spoil the other values of its block.
    #[error("value {index} is {value}: only finite values can be stored as nf4")]
    NotFinite {
        /// Position of the first such value.
        index: usize,
        /// The value.
        value: f32,
    },
}

/// A matrix in NF4: two codes in a byte, the first in its upper half.
#[derive(Debug)]
pub struct Nf4 {
    codes: Vec<u8>,
    scales: Vec<f32>,
    dims: [usize; 2],
}

impl Nf4 {
    /// Values that share a scale; a row is a whole number of blocks.
    pub const BLOCK: usize = BLOCK;

    /// Bytes of a block.
    pub const BLOCK_BYTES: usize = BLOCK / 2 + size_of::<f32>();

    /// Rounds values `[rows, columns]`, row after row; the columns are whole blocks of 64.
    ///
    /// # Errors
    /// [`Nf4Error`].
    pub fn quantised(values: &[f32], dims: [usize; 2]) -> Result<Self, Nf4Error> {
        let mut matrix = Self::empty(dims)?;
        if values.len() != dims[0] * dims[1] {
            return Err(Nf4Error::Partial { columns: dims[1] });
        }
        matrix.extend(&Self::blocks(values)?);
        Ok(matrix)
    }

    /// A matrix whose values are to come ([`Self::extend`]).
    ///
    /// # Errors
    /// [`Nf4Error::Partial`].
    pub fn empty(dims: [usize; 2]) -> Result<Self, Nf4Error> {
        if !dims[1].is_multiple_of(BLOCK) {
            return Err(Nf4Error::Partial { columns: dims[1] });
        }
        let values = dims[0] * dims[1];
        Ok(Self {
            codes: Vec::with_capacity(values / 2),
            scales: Vec::with_capacity(values / BLOCK),
            dims,
        })
    }

    /// Whole blocks of values, rounded: codes and scales.
    ///
    /// # Errors
    /// [`Nf4Error`].
    pub fn blocks(values: &[f32]) -> Result<(Vec<u8>, Vec<f32>), Nf4Error> {
        if !values.len().is_multiple_of(BLOCK) {
            let columns = values.len();
            return Err(Nf4Error::Partial { columns });
        }
        if let Some(index) = values.iter().position(|value| !value.is_finite()) {
            let value = values[index];
            return Err(Nf4Error::NotFinite { index, value });
        }
        let scale = |block: &[f32]| {
            block
                .iter()
                .fold(0.0_f32, |most, value| most.max(value.abs()))
        };
        let scales: Vec<f32> = values.chunks_exact(BLOCK).map(scale).collect();
        let mut codes = Vec::with_capacity(values.len() / 2);
        for (block, scale) in values.chunks_exact(BLOCK).zip(&scales) {
            let factor = if *scale > 0.0 { 1.0 / scale } else { 0.0 };
            let pairs = block.chunks_exact(2);
            codes.extend(pairs.map(|pair| code(pair[0] * factor) << 4 | code(pair[1] * factor)));
        }
        Ok((codes, scales))
    }

    /// Appends blocks.
    pub fn extend(&mut self, (codes, scales): &(Vec<u8>, Vec<f32>)) {
        self.codes.extend_from_slice(codes);
        self.scales.extend_from_slice(scales);
    }

    /// Whether all values are there.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.codes.len() * 2 == self.dims[0] * self.dims[1]
    }

    /// The codes, two in a byte.
    #[must_use]
    pub fn codes(&self) -> &[u8] {
        &self.codes
    }

    /// The scales, one for each block.
    #[must_use]
    pub fn scales(&self) -> &[f32] {
        &self.scales
    }
}

fn code(value: f32) -> u8 {
    ABOVE.iter().map(|above| u8::from(value > *above)).sum()
}

impl PackedRows for Nf4 {
    fn dims(&self) -> [usize; 2] {
        self.dims
    }

    fn block(&self) -> usize {
        BLOCK
    }

    fn bytes(&self) -> usize {
        self.codes.len() + size_of_val(self.scales.as_slice())
    }

    fn format(&self) -> &'static str {
        "NF4"
    }

    fn unpack(&self, rows: Range<usize>, columns: Range<usize>, values: &mut [f32]) {
        for (row, values) in rows.zip(values.chunks_exact_mut(columns.len().max(1))) {
            let first = (row * self.dims[1] + columns.start) / BLOCK;
            let blocks = first..first + values.len() / BLOCK;
            let codes = self.codes[blocks.start * BLOCK / 2..].chunks_exact(BLOCK / 2);
            let blocks = values.chunks_exact_mut(BLOCK).zip(&self.scales[blocks]);
            for ((values, scale), codes) in blocks.zip(codes) {
                let (pairs, _) = values.as_chunks_mut::<2>();
                for (pair, codes) in pairs.iter_mut().zip(codes) {
                    let [first, second] = PAIRS[usize::from(*codes)];
                    *pair = [first * scale, second * scale];
                }
            }
        }
    }

    fn codes(&self) -> Option<Codes> {
        let codes = self.codes.iter().flat_map(|pair| [pair >> 4, pair & 15]);
        Some(Codes::Table {
            codes: codes.collect(),
            group: BLOCK,
            scales: self.scales.clone(),
            table: CODES,
        })
    }
}
