//! The pair of factors of a low-rank update `B A`, in `f64`.

use faer::{Mat, MatRef};

use crate::file::HostTensor;
use crate::linalg::{beside, squared};
use crate::low_rank::LowRank;

/// A pair of factors.
#[derive(Debug, Clone, PartialEq)]
pub struct Factors {
    /// `A^T [d_in, r]`.
    pub a: Mat<f64>,
    /// `B [d_out, r]`.
    pub b: Mat<f64>,
}

impl Factors {
    /// Of two tensors as files of PEFT have them, `A [r, d_in]` and `B [d_out, r]`.
    ///
    /// # Panics
    /// When they are no matrices of one rank.
    #[must_use]
    pub fn of_tensors([a, b]: &[HostTensor; 2]) -> Self {
        let (&[rank, d_in], &[d_out, other]) = (&a.shape[..], &b.shape[..]) else {
            panic!(
                "expected two matrices, found {:?} and {:?}",
                a.shape, b.shape
            );
        };
        assert_eq!(rank, other, "expected factors of one rank");
        let values = |tensor: &HostTensor| -> Vec<f64> {
            tensor.data.iter().map(|value| f64::from(*value)).collect()
        };
        Self {
            a: MatRef::from_column_major_slice(&values(a), d_in, rank).to_owned(),
            b: MatRef::from_row_major_slice(&values(b), d_out, rank).to_owned(),
        }
    }

    /// The factors of `scale B A`: the scale goes into B.
    #[must_use]
    pub fn scaled(self, scale: f64) -> Self {
        Self {
            a: self.a,
            b: self.b * faer::Scale(scale),
        }
    }

    /// The factors of `B A - B' A'`, of the sum of both ranks.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        Self {
            a: beside(&[self.a.clone(), other.a.clone()]),
            b: beside(&[self.b.clone(), &other.b * faer::Scale(-1.0)]),
        }
    }

    /// `||B A||_F^2`, from the cores of thin factorisations of both.
    #[must_use]
    pub fn squared_norm(&self) -> f64 {
        if self.a.ncols() == 0 {
            return 0.0;
        }
        squared((self.b.qr().thin_R() * self.a.qr().thin_R().transpose()).as_ref())
    }
}

impl From<&LowRank> for Factors {
    fn from(update: &LowRank) -> Self {
        Self {
            a: update.a().to_owned(),
            b: update.b().transpose().to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_product_of_scaled_factors_is_the_scaled_product_of_the_tensors() {
        let tensor = |shape: [usize; 2], data: [f32; 6]| HostTensor::new("x", shape, data.to_vec());
        let a = tensor([2, 3], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
        let b = tensor([3, 2], [1.0, 0.0, 0.0, 1.0, 1.0, 1.0]).unwrap();
        let factors = Factors::of_tensors(&[a, b]).scaled(0.5);
        let product = factors.b * factors.a.transpose();
        let rows = [[0.5, 1.0, 1.5], [2.0, 2.5, 3.0], [2.5, 3.5, 4.5]];
        assert_eq!(product, Mat::from_fn(3, 3, |row, column| rows[row][column]));
    }
}
