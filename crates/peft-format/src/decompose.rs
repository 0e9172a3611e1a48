//! The singular value decomposition of an update: `B A = U diag(sigma) V^T`, from factors or from a dense matrix.
//!
//! From factors no product is formed. With the thin factorisations `B = Q_b R_b` and `A^T = Q_a R_a`, the update is
//! `Q_b (R_b R_a^T) Q_a^T`, and only the small core in the middle is decomposed. Dropping all but the first `k` singular values gives the
//! nearest matrix of rank `k`, at the distance `sqrt(sum of the squares of the dropped ones)` (Eckart and Young 1936).

use faer::{Mat, MatRef};

use crate::Factors;

/// Why an update has no decomposition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecomposeError {
    /// NaN or infinity.
    #[error("it holds NaN or infinite values")]
    NotFinite,
    /// The decomposition did not end.
    #[error("the singular value decomposition does not converge")]
    NoConvergence,
}

/// Singular vectors and values of an update, those that are no rounding.
#[derive(Debug, Clone)]
pub struct Decomposed {
    /// Left singular vectors, `[d_out, k]`.
    pub u: Mat<f64>,
    /// Singular values in falling order, as many as the numerical rank.
    pub values: Vec<f64>,
    /// Right singular vectors, `[d_in, k]`.
    pub v: Mat<f64>,
}

impl Decomposed {
    /// Of `B A` with the factors `a [d_in, n]` and `b [d_out, n]`.
    ///
    /// # Errors
    /// [`DecomposeError::NotFinite`], [`DecomposeError::NoConvergence`].
    ///
    /// # Numerics
    /// Singular values below `max(d_in, d_out) eps ||A||_F ||B||_F` are rounding: with pairs of columns of equal norm, which is how they are
    /// taken here, that is relative to the norms of the terms and not of their sum, so that terms that cancel leave nothing.
    pub fn of_factors(factors: &Factors) -> Result<Self, DecomposeError> {
        let (d_in, d_out) = (factors.a.nrows(), factors.b.nrows());
        let balanced = balanced(factors);
        if !(balanced.a.is_all_finite() && balanced.b.is_all_finite()) {
            return Err(DecomposeError::NotFinite);
        }
        if balanced.a.ncols() == 0 {
            return Ok(Self::nothing(d_in, d_out));
        }
        let (left, right) = (balanced.b.qr(), balanced.a.qr());
        let core = left.thin_R() * right.thin_R().transpose();
        let least =
            d_in.max(d_out) as f64 * f64::EPSILON * balanced.a.norm_l2() * balanced.b.norm_l2();
        let core = Self::above(core.as_ref(), least)?;
        Ok(Self {
            u: left.compute_thin_Q() * core.u,
            values: core.values,
            v: right.compute_thin_Q() * core.v,
        })
    }

    /// Of a dense update `[d_out, d_in]`.
    ///
    /// # Errors
    /// [`DecomposeError::NotFinite`], [`DecomposeError::NoConvergence`].
    pub fn of_dense(update: MatRef<'_, f64>) -> Result<Self, DecomposeError> {
        if !update.is_all_finite() {
            return Err(DecomposeError::NotFinite);
        }
        let larger = update.nrows().max(update.ncols());
        Self::above(update, larger as f64 * f64::EPSILON * update.norm_l2())
    }

    /// Singular values above `least`, and their vectors.
    fn above(matrix: MatRef<'_, f64>, least: f64) -> Result<Self, DecomposeError> {
        let (rows, columns) = matrix.shape();
        if matrix.norm_max() == 0.0 {
            return Ok(Self::nothing(columns, rows));
        }
        let svd = (matrix.thin_svd()).map_err(|_| DecomposeError::NoConvergence)?;
        let values = svd.S().column_vector();
        let values: Vec<f64> = values
            .iter()
            .copied()
            .take_while(|value| *value > least)
            .collect();
        Ok(Self {
            u: svd.U().subcols(0, values.len()).to_owned(),
            v: svd.V().subcols(0, values.len()).to_owned(),
            values,
        })
    }

    fn nothing(d_in: usize, d_out: usize) -> Self {
        Self {
            u: Mat::zeros(d_out, 0),
            values: Vec::new(),
            v: Mat::zeros(d_in, 0),
        }
    }

    /// The factors of the strongest `rank` directions, each singular value shared between both; of at least rank 1, with zeros for an update
    /// of zero.
    #[must_use]
    pub fn strongest(&self, rank: usize) -> Factors {
        let rank = rank.min(self.values.len()).max(1);
        let side = |vectors: &Mat<f64>| {
            Mat::from_fn(vectors.nrows(), rank, |row, column| {
                let value = self.values.get(column);
                value.map_or(0.0, |value| vectors[(row, column)] * value.sqrt())
            })
        };
        Factors {
            a: side(&self.v),
            b: side(&self.u),
        }
    }
}

/// The same update with columns of equal norm on both sides, without those that are zero on one.
fn balanced(factors: &Factors) -> Factors {
    let norm = |matrix: &Mat<f64>, column: usize| matrix.col(column).norm_l2();
    let kept: Vec<(usize, f64)> = (0..factors.a.ncols())
        .map(|column| (column, norm(&factors.a, column), norm(&factors.b, column)))
        .filter(|(_, a, b)| *a != 0.0 && *b != 0.0)
        .map(|(column, a, b)| (column, (b / a).sqrt()))
        .collect();
    let pick = |matrix: &Mat<f64>, power: i32| {
        Mat::from_fn(matrix.nrows(), kept.len(), |row, at| {
            let (column, ratio) = kept[at];
            matrix[(row, column)] * ratio.powi(power)
        })
    };
    Factors {
        a: pick(&factors.a, 1),
        b: pick(&factors.b, -1),
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::linalg::beside;

    fn random(rows: usize, columns: usize, seed: u64) -> Mat<f64> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        Mat::from_fn(rows, columns, |_, _| rng.random::<f64>() - 0.5)
    }

    fn factors(d_in: usize, d_out: usize, n: usize) -> Factors {
        Factors {
            a: random(d_in, n, 1),
            b: random(d_out, n, 2),
        }
    }

    #[test]
    fn factors_and_their_dense_product_have_the_same_decomposition() {
        for (d_in, d_out, n) in [(9, 7, 3), (7, 9, 3), (4, 6, 5), (5, 4, 8)] {
            let factors = factors(d_in, d_out, n);
            let dense = &factors.b * factors.a.transpose();
            let one = Decomposed::of_factors(&factors).unwrap();
            let other = Decomposed::of_dense(dense.as_ref()).unwrap();
            let rank = n.min(d_in).min(d_out);
            assert_eq!(one.values.len(), rank);
            assert_eq!(other.values.len(), rank);
            for (one, other) in one.values.iter().zip(other.values) {
                assert!((one - other).abs() < 1e-13, "{one} {other}");
            }
            let kept = one.strongest(2);
            let dropped: f64 = (one.values[2..].iter()).map(|value| value.powi(2)).sum();
            let lost = factors.minus(&kept).squared_norm();
            assert!((lost - dropped).abs() < 1e-13);
            let back = &kept.b * kept.a.transpose();
            assert!(((&dense - &back).squared_norm_l2() - dropped).abs() < 1e-13);
        }
    }

    #[test]
    fn terms_that_cancel_leave_zeros_of_rank_one_however_uneven_the_sides_are() {
        let half = factors(9, 7, 3);
        let both = Factors {
            a: beside(&[&half.a * faer::Scale(1e9), half.a.clone()]),
            b: beside(&[&half.b * faer::Scale(-1e-9), half.b.clone()]),
        };
        let decomposed = Decomposed::of_factors(&both).unwrap();
        assert_eq!(decomposed.values, [0.0; 0]);
        let kept = decomposed.strongest(usize::MAX);
        assert_eq!(kept.a, Mat::<f64>::zeros(9, 1));
        assert_eq!(kept.b, Mat::<f64>::zeros(7, 1));
    }

    #[test]
    fn values_that_are_not_finite_are_an_error() {
        let broken = Mat::from_fn(2, 2, |_, _| f64::NAN);
        let error = Decomposed::of_dense(broken.as_ref()).unwrap_err();
        assert_eq!(error, DecomposeError::NotFinite);
    }
}
