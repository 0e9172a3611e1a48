//! Norms of factors and of their product, without ever forming the product.

use peft_core::Layout;
use peft_core::file::HostTensor;

/// A low-rank factor as `rank` vectors: the columns of `a`, or the rows of `b`.
#[derive(Debug)]
pub(super) struct Vectors<'a> {
    data: &'a [f32],
    rank: usize,
    width: usize,
    /// Whether each vector lies in one piece.
    contiguous: bool,
}

impl<'a> Vectors<'a> {
    /// The columns of `a`, which is `[d_in, rank]` in memory; `None` when the tensor is no matrix.
    pub(super) fn columns(tensor: &'a HostTensor, layout: Layout) -> Option<Self> {
        Self::new(tensor, layout == Layout::Transposed)
    }

    /// The rows of `b`, which is `[rank, d_out]` in memory; `None` when the tensor is no matrix.
    pub(super) fn rows(tensor: &'a HostTensor, layout: Layout) -> Option<Self> {
        Self::new(tensor, layout == Layout::AsIs)
    }

    fn new(tensor: &'a HostTensor, contiguous: bool) -> Option<Self> {
        let [first, second] = tensor.shape[..] else {
            return None;
        };
        let (rank, width) = if contiguous {
            (first, second)
        } else {
            (second, first)
        };
        Some(Self {
            data: &tensor.data,
            rank,
            width,
            contiguous,
        })
    }

    /// Number of vectors.
    pub(super) fn rank(&self) -> usize {
        self.rank
    }

    /// Length of each: `d_in` of `a`, `d_out` of `b`.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// Products of every pair of vectors, `[rank, rank]`.
    fn gram(&self) -> Vec<f64> {
        let vectors: Vec<Vec<f64>> = (0..self.rank).map(|index| self.vector(index)).collect();
        let mut gram = vec![0.0; self.rank * self.rank];
        for (i, left) in vectors.iter().enumerate() {
            for (j, right) in vectors.iter().enumerate().skip(i) {
                let product: f64 = left
                    .iter()
                    .zip(right)
                    .map(|(left, right)| left * right)
                    .sum();
                gram[i * self.rank + j] = product;
                gram[j * self.rank + i] = product;
            }
        }
        gram
    }

    fn vector(&self, index: usize) -> Vec<f64> {
        let at = |k: usize| match self.contiguous {
            true => index * self.width + k,
            false => k * self.rank + index,
        };
        (0..self.width)
            .map(|k| f64::from(self.data[at(k)]))
            .collect()
    }
}

/// `||scale a b||_F`, by `||a b||_F^2 = trace((a^T a) (b b^T))`, both of `[rank, rank]`.
pub(super) fn product_norm(a: &Vectors<'_>, b: &Vectors<'_>, scale: f64) -> f64 {
    let squared: f64 = a
        .gram()
        .iter()
        .zip(b.gram())
        .map(|(left, right)| left * right)
        .sum();
    // The trace is never negative; rounding can leave it just below zero. NaN stays NaN.
    let squared = if squared < 0.0 { 0.0 } else { squared };
    scale.abs() * squared.sqrt()
}

/// `||x||_F` of all values.
pub(super) fn norm(values: &[f32]) -> f64 {
    values
        .iter()
        .map(|value| f64::from(*value).powi(2))
        .sum::<f64>()
        .sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `a [3, 2]`, `b [2, 4]` in memory; the file holds `a` transposed.
    fn factors() -> (HostTensor, HostTensor) {
        let a = HostTensor::new("a", [2, 3], vec![1.0, -2.0, 0.5, 3.0, 0.25, -1.0]).unwrap();
        let b =
            HostTensor::new("b", [2, 4], vec![0.5, 1.0, -1.0, 2.0, -0.75, 0.0, 4.0, 1.5]).unwrap();
        (a, b)
    }

    #[test]
    fn the_norm_from_factors_is_that_of_the_dense_product() {
        let (a, b) = factors();
        let mut dense = vec![];
        for i in 0..3 {
            for j in 0..4 {
                dense.push(
                    (0..2)
                        .map(|k| a.data[k * 3 + i] * b.data[k * 4 + j])
                        .sum::<f32>()
                        * -0.5,
                );
            }
        }
        let columns = Vectors::columns(&a, Layout::Transposed).unwrap();
        let rows = Vectors::rows(&b, Layout::AsIs).unwrap();
        assert_eq!((columns.rank(), columns.width(), rows.width()), (2, 3, 4));
        let found = product_norm(&columns, &rows, -0.5);
        assert!(
            (found - norm(&dense)).abs() < 1e-6,
            "{found} {}",
            norm(&dense)
        );
    }

    #[test]
    fn both_layouts_of_a_file_give_the_same_norm() {
        let (a, b) = factors();
        let turned: Vec<f32> = (0..3).flat_map(|k| [a.data[k], a.data[3 + k]]).collect();
        let as_is = HostTensor::new("a", [3, 2], turned).unwrap();
        let rows = Vectors::rows(&b, Layout::AsIs).unwrap();
        let norm = |a: &HostTensor, layout| {
            product_norm(&Vectors::columns(a, layout).unwrap(), &rows, 2.0)
        };
        assert_eq!(norm(&a, Layout::Transposed), norm(&as_is, Layout::AsIs));
    }

    #[test]
    fn values_that_are_not_numbers_are_not_hidden() {
        let (mut a, b) = factors();
        a.data[4] = f32::NAN;
        let columns = Vectors::columns(&a, Layout::Transposed).unwrap();
        assert!(product_norm(&columns, &Vectors::rows(&b, Layout::AsIs).unwrap(), 1.0).is_nan());
    }
}
