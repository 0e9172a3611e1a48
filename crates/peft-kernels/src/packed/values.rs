//! What a block of a product multiplies by.

use faer::MatRef;

use super::PackedWeight;

/// Multiplications that take as long as it takes to unpack a value.
const PER_VALUE: usize = 8;

/// The values of a second factor, `[inner, columns]`.
#[derive(Debug, Clone)]
pub(crate) enum Values<'a> {
    Dense(MatRef<'a, f32>),
    Packed(PackedWeight),
}

impl Values<'_> {
    pub(crate) fn ncols(&self) -> usize {
        match self {
            Self::Dense(weight) => weight.ncols(),
            Self::Packed(weight) => weight.dims()[1],
        }
    }

    /// Multiplications that a value of a product of so many rows is worth, unpacking among them.
    pub(crate) fn depth(&self, rows: usize) -> usize {
        match self {
            Self::Dense(weight) => weight.nrows(),
            Self::Packed(weight) => weight.dims()[0] * (rows + PER_VALUE) / rows.max(1),
        }
    }

    pub(crate) fn transpose(self) -> Self {
        match self {
            Self::Dense(weight) => Self::Dense(weight.transpose()),
            Self::Packed(weight) => Self::Packed(weight.transpose()),
        }
    }
}
