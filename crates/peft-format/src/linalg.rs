//! Small pieces of linear algebra: inner products of low-rank updates from their factors, and columns added to an orthonormal set.

use faer::{Mat, MatRef};

/// Sum of squares of all entries.
#[must_use]
pub fn squared(matrix: MatRef<'_, f64>) -> f64 {
    matrix.squared_norm_l2()
}

/// Sum of the products of corresponding entries of two matrices of one shape.
#[must_use]
pub fn dot(left: MatRef<'_, f64>, right: MatRef<'_, f64>) -> f64 {
    let entries = (0..left.ncols()).flat_map(|c| (0..left.nrows()).map(move |r| (r, c)));
    entries.map(|at| left[at] * right[at]).sum()
}

/// `<B1 A1^T, B2 A2^T> = sum((A1^T A2) o (B1^T B2))`, from two cores of the size of the ranks.
///
/// # Shapes
/// `a1 [d_in, r1]`, `b1 [d_out, r1]`, `a2 [d_in, r2]`, `b2 [d_out, r2]`.
#[must_use]
pub fn inner(
    (a1, b1): (MatRef<'_, f64>, MatRef<'_, f64>),
    (a2, b2): (MatRef<'_, f64>, MatRef<'_, f64>),
) -> f64 {
    dot(
        (a1.transpose() * a2).as_ref(),
        (b1.transpose() * b2).as_ref(),
    )
}

/// Matrices of one height side by side.
#[must_use]
pub fn beside(parts: &[Mat<f64>]) -> Mat<f64> {
    let width = parts.iter().map(Mat::ncols).sum();
    let mut whole = Mat::zeros(parts.first().map_or(0, Mat::nrows), width);
    let mut start = 0;
    for part in parts {
        whole.subcols_mut(start, part.ncols()).copy_from(part);
        start += part.ncols();
    }
    whole
}

/// What is left of `columns` orthogonally to the orthonormal columns `c`, projected out twice so that rounding is too.
#[must_use]
pub fn without_span(c: MatRef<'_, f64>, columns: MatRef<'_, f64>) -> Mat<f64> {
    let mut rest = columns.to_owned();
    for _ in 0..2 {
        let inside = c * (c.transpose() * &rest);
        rest -= inside;
    }
    rest
}

/// Appends the normalised rest of `column` to the orthonormal columns `c`, unless the rest is below `least` times the column.
pub fn append(c: &mut Mat<f64>, column: &Mat<f64>, least: f64) -> bool {
    let norm = column.norm_l2();
    let rest = without_span(c.as_ref(), column.as_ref());
    let left = rest.norm_l2();
    if left <= least * norm {
        return false;
    }
    // Of a small rest, rounding is no longer small.
    let rest = without_span(c.as_ref(), (rest * faer::Scale(1.0 / left)).as_ref());
    let left = rest.norm_l2();
    c.resize_with(c.nrows(), c.ncols() + 1, |row, _| rest[(row, 0)] / left);
    true
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn random(rows: usize, columns: usize, seed: u64) -> Mat<f64> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        Mat::from_fn(rows, columns, |_, _| rng.random::<f64>() - 0.5)
    }

    #[test]
    fn the_inner_product_from_factors_is_that_of_the_dense_products() {
        let (a1, b1) = (random(9, 3, 1), random(7, 3, 2));
        let (a2, b2) = (random(9, 2, 3), random(7, 2, 4));
        let (left, right) = (&b1 * a1.transpose(), &b2 * a2.transpose());
        let dense = dot(left.as_ref(), right.as_ref());
        let found = inner((a1.as_ref(), b1.as_ref()), (a2.as_ref(), b2.as_ref()));
        assert!(
            (found - dense).abs() < 1e-12 && dense.abs() > 1e-3,
            "{found} {dense}"
        );
    }

    #[test]
    fn a_column_inside_the_span_is_not_appended_and_one_almost_inside_is_orthonormal() {
        let mut c = random(12, 4, 5).qr().compute_thin_Q();
        let inside = &c * random(4, 1, 6);
        assert!(!append(&mut c, &inside, 1e-10));
        let almost = &inside + random(12, 1, 7) * faer::Scale(1e-8);
        assert!(append(&mut c, &almost, 1e-10));
        let deviation = c.transpose() * &c - Mat::<f64>::identity(5, 5);
        assert!(deviation.norm_max() < 1e-14, "{}", deviation.norm_max());
    }
}
