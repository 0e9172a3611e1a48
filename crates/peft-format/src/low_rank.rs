//! Low-rank updates `scale * A B` on the host: norms and singular values, without ever forming the product.
//!
//! With the thin factorisations `A = Q R` and `B^T = P S`, the update is `scale * Q (R S^T) P^T`: everything that does
//! not depend on the basis is that of the small core `R S^T [rank, rank]`. All arithmetic is in `f64`.

use faer::{Mat, MatRef};

use crate::file::HostTensor;
use crate::names::Layout;

/// `A B`, with `A [d_in, rank]` (the scale multiplied in) and `B [rank, d_out]`.
#[derive(Clone, Debug, PartialEq)]
pub struct LowRank {
    a: Mat<f64>,
    b: Mat<f64>,
}

impl LowRank {
    /// `scale * a b` from two tensors of a file; `None` unless both are matrices of one rank.
    ///
    /// # Shapes
    /// In memory `a [d_in, rank]` and `b [rank, d_out]`; the layouts say how the file's axes relate to those.
    #[must_use]
    pub fn new(a: (&HostTensor, Layout), b: (&HostTensor, Layout), scale: f64) -> Option<Self> {
        let (a, b) = (matrix(a.0, a.1, scale)?, matrix(b.0, b.1, 1.0)?);
        (a.ncols() == b.nrows()).then_some(Self { a, b })
    }

    /// `scale * A [d_in, rank]`.
    #[must_use]
    pub fn a(&self) -> MatRef<'_, f64> {
        self.a.as_ref()
    }

    /// `B [rank, d_out]`.
    #[must_use]
    pub fn b(&self) -> MatRef<'_, f64> {
        self.b.as_ref()
    }

    /// Rows of the update.
    #[must_use]
    pub fn d_in(&self) -> usize {
        self.a.nrows()
    }

    /// Columns of the update.
    #[must_use]
    pub fn d_out(&self) -> usize {
        self.b.ncols()
    }

    /// Number of columns of `A`.
    #[must_use]
    pub fn rank(&self) -> usize {
        self.a.ncols()
    }

    /// `||A B||_F`.
    #[must_use]
    pub fn norm(&self) -> f64 {
        self.core().norm_l2()
    }

    /// Singular values of `A B`, largest first, as many as `rank` or the smaller side; `None` for values that are
    /// not finite.
    #[must_use]
    pub fn singular_values(&self) -> Option<Vec<f64>> {
        let core = self.core();
        if !core.is_all_finite() {
            return None;
        }
        core.singular_values().ok()
    }

    /// `R S^T`: what is left of the update without its orthogonal bases.
    fn core(&self) -> Mat<f64> {
        if [self.rank(), self.d_in(), self.d_out()].contains(&0) {
            return Mat::zeros(0, 0);
        }
        let left = self.a.qr();
        let right = self.b.transpose().qr();
        left.thin_R() * right.thin_R().transpose()
    }
}

/// How many directions an update really uses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EffectiveRank {
    /// `exp(H(p))` with `p = sigma / sum(sigma)`: the number of directions if all were equally strong
    /// (Roy and Vetterli 2007).
    pub entropy: f64,
    /// `||A B||_F^2 / sigma_max^2`: the stable rank, at most `entropy` and insensitive to weak directions.
    pub stable: f64,
}

impl EffectiveRank {
    /// From singular values; both are zero for an update of zero.
    #[must_use]
    pub fn of(singular_values: &[f64]) -> Self {
        let sum: f64 = singular_values.iter().sum();
        let largest = singular_values.iter().copied().fold(0.0, f64::max);
        if largest <= 0.0 || sum <= 0.0 {
            return Self {
                entropy: 0.0,
                stable: 0.0,
            };
        }
        let entropy: f64 = singular_values
            .iter()
            .map(|value| value / sum)
            .filter(|share| *share > 0.0)
            .map(|share| -share * share.ln())
            .sum();
        Self {
            entropy: entropy.exp(),
            stable: singular_values
                .iter()
                .map(|value| (value / largest).powi(2))
                .sum(),
        }
    }
}

/// A tensor of a file in memory orientation; `None` unless it is a matrix whose data fit its shape.
fn matrix(tensor: &HostTensor, layout: Layout, scale: f64) -> Option<Mat<f64>> {
    let [first, second] = tensor.shape[..] else {
        return None;
    };
    if first.checked_mul(second) != Some(tensor.data.len()) {
        return None;
    }
    let value = |row: usize, column: usize| f64::from(tensor.data[row * second + column]) * scale;
    Some(match layout {
        Layout::AsIs => Mat::from_fn(first, second, value),
        Layout::Transposed => Mat::from_fn(second, first, |row, column| value(column, row)),
    })
}

#[cfg(test)]
mod tests;
