//! Random columns orthogonal to others.

use faer::Mat;
use peft_format::linalg::append;
use rand::{Rng, RngExt};

/// A column of independent standard normal numbers, by the Box-Muller transform.
pub(crate) fn gaussian(height: usize, rng: &mut impl Rng) -> Mat<f64> {
    Mat::from_fn(height, 1, |_, _| {
        // 1 - u lies in (0, 1], so the logarithm is finite.
        let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
        radius * (std::f64::consts::TAU * rng.random::<f64>()).cos()
    })
}

/// Appends random columns by Gram-Schmidt until there are `k`, at most as many as the height: Gaussian ones, less what lies in the span so
/// far, normalised.
pub(crate) fn append_random(columns: &mut Mat<f64>, k: usize, rng: &mut impl Rng) {
    /// A column of which less than this is left (almost never) is drawn again.
    const LEAST: f64 = 1e-8;
    let d = columns.nrows();
    while columns.ncols() < k.min(d) {
        append(columns, &gaussian(d, rng), LEAST);
    }
}
