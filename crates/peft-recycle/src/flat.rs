//! The flattened variant: a whole factor `[d, r]` is one vector of length `d r`, and an adapter has one scalar per component and side.
//!
//! The published code has it as a switch, and other implementations build on it. It needs factors of one rank, and as many components as
//! adapters to reproduce them, but then `k` scalars instead of `k r`.

use faer::{Mat, MatRef};

/// A factor `[d, r]` as one column `[d r, 1]`, column after column.
#[must_use]
pub fn flatten(factor: MatRef<'_, f64>) -> Mat<f64> {
    let d = factor.nrows();
    Mat::from_fn(d * factor.ncols(), 1, |at, _| factor[(at % d, at / d)])
}

/// The factor `[d, r]` of one column `[d r, 1]`.
///
/// # Panics
/// When the column has another length.
#[must_use]
pub fn unflatten(column: MatRef<'_, f64>, d: usize, r: usize) -> Mat<f64> {
    assert_eq!(column.shape(), (d * r, 1), "expected a column of {d} * {r}");
    Mat::from_fn(d, r, |row, rank| column[(rank * d + row, 0)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_factor_comes_back_and_its_order_is_column_after_column() {
        let factor = Mat::from_fn(3, 2, |row, column| (10 * row + column) as f64);
        let column = flatten(factor.as_ref());
        let order: Vec<f64> = column.col(0).iter().copied().collect();
        assert_eq!(order, [0.0, 10.0, 20.0, 1.0, 11.0, 21.0]);
        assert_eq!(unflatten(column.as_ref(), 3, 2), factor);
    }
}
