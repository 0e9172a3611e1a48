//! Initial values of low-rank factors, drawn on the host so that every backend starts from the same numbers.

use burn::tensor::TensorData;
use rand::{Rng, RngExt};

/// Kaiming-uniform with `a = sqrt(5)`, as PyTorch initialises a linear layer: `U(-1/sqrt(d_in), 1/sqrt(d_in))`.
///
/// The bound is `sqrt(6 / ((1 + a^2) d_in)) = 1/sqrt(d_in)`. Shape of the result: `[d_in, rank]`.
#[must_use]
pub fn kaiming_uniform(d_in: usize, rank: usize, rng: &mut impl Rng) -> TensorData {
    let bound = 1.0 / (d_in as f64).sqrt();
    let values: Vec<f32> = (0..d_in * rank)
        .map(|_| ((rng.random::<f64>() * 2.0 - 1.0) * bound) as f32)
        .collect();
    TensorData::new(values, [d_in, rank])
}

/// Normal with standard deviation `std`, by the Box-Muller transform. Shape of the result: `[d_in, rank]`.
#[must_use]
pub fn gaussian(d_in: usize, rank: usize, std: f64, rng: &mut impl Rng) -> TensorData {
    let values: Vec<f32> = (0..d_in * rank)
        .map(|_| (normal(rng) * std) as f32)
        .collect();
    TensorData::new(values, [d_in, rank])
}

/// One standard normal value.
fn normal(rng: &mut impl Rng) -> f64 {
    // 1 - u lies in (0, 1], so the logarithm is finite.
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    let angle = std::f64::consts::TAU * rng.random::<f64>();
    radius * angle.cos()
}

/// Zeros of shape `[rank, d_out]`: with `B = 0` an adapter starts as exactly the base.
#[must_use]
pub fn zeros(rank: usize, d_out: usize) -> TensorData {
    TensorData::new(vec![0.0f32; rank * d_out], [rank, d_out])
}

/// Two random factors `A [d_in, rank]` and `B [rank, d_out]` whose product is zero though neither is:
/// `A = X Q_1 / 10`, `B = Q_2^T Y / 10`.
///
/// `Q_1` and `Q_2` are every other row of a random orthogonal matrix, `X` and `Y` standard normal. At an odd rank `Q_1` has one row more;
/// at rank 1 `Q_2` has none and `B` is zero.
#[must_use]
pub fn orthogonal(
    d_in: usize,
    d_out: usize,
    rank: usize,
    rng: &mut impl Rng,
) -> (TensorData, TensorData) {
    let rows = orthonormal_rows(rank, rng);
    let a = combinations(d_in, rows.iter().step_by(2), rank, rng);
    let b = combinations(d_out, rows.iter().skip(1).step_by(2), rank, rng);
    let b = (0..rank * d_out)
        .map(|at| b[at % d_out * rank + at / d_out])
        .collect();
    (
        TensorData::new(a, [d_in, rank]),
        TensorData::new::<f32, _>(b, [rank, d_out]),
    )
}

/// `count` random combinations of the given rows, with coefficients of standard deviation 0.1: `[count, width]`.
fn combinations<'a>(
    count: usize,
    rows: impl Iterator<Item = &'a Vec<f64>> + Clone,
    width: usize,
    rng: &mut impl Rng,
) -> Vec<f32> {
    let mut values = Vec::with_capacity(count * width);
    for _ in 0..count {
        let mut sum = vec![0.0; width];
        for row in rows.clone() {
            add(&mut sum, 0.1 * normal(rng), row);
        }
        values.extend(sum.iter().map(|value| *value as f32));
    }
    values
}

/// The rows of a random orthogonal matrix.
fn orthonormal_rows(size: usize, rng: &mut impl Rng) -> Vec<Vec<f64>> {
    let mut rows: Vec<Vec<f64>> = Vec::with_capacity(size);
    for _ in 0..size {
        let mut row: Vec<f64> = (0..size).map(|_| normal(rng)).collect();
        // The second time takes away what rounding left of the rows before.
        for _ in 0..2 {
            for before in &rows {
                let along = dot(&row, before);
                add(&mut row, -along, before);
            }
        }
        let length = dot(&row, &row).sqrt();
        row.iter_mut().for_each(|value| *value /= length);
        rows.push(row);
    }
    rows
}

fn dot(one: &[f64], other: &[f64]) -> f64 {
    one.iter().zip(other).map(|(one, other)| one * other).sum()
}

fn add(sum: &mut [f64], factor: f64, row: &[f64]) {
    for (sum, value) in sum.iter_mut().zip(row) {
        *sum += factor * value;
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn moments(data: &TensorData) -> (f64, f64, f64) {
        let values = data.iter::<f32>().collect::<Vec<f32>>();
        let n = values.len() as f64;
        let mean = values.iter().map(|v| f64::from(*v)).sum::<f64>() / n;
        let variance = values
            .iter()
            .map(|v| (f64::from(*v) - mean).powi(2))
            .sum::<f64>()
            / n;
        let largest = values.iter().fold(0.0f64, |m, v| m.max(f64::from(v.abs())));
        (mean, variance, largest)
    }

    #[test]
    fn kaiming_uniform_fills_the_interval_of_one_over_the_root_of_d_in() {
        let data = kaiming_uniform(400, 100, &mut ChaCha8Rng::seed_from_u64(1));
        let (mean, variance, largest) = moments(&data);
        assert!(mean.abs() < 1e-3, "{mean}");
        assert!(
            (variance / (0.05f64.powi(2) / 3.0) - 1.0).abs() < 0.03,
            "{variance}"
        );
        assert!(largest <= 0.05 && largest > 0.0499, "{largest}");
    }

    #[test]
    fn gaussian_has_the_asked_deviation_and_tails() {
        let data = gaussian(400, 100, 0.25, &mut ChaCha8Rng::seed_from_u64(1));
        let (mean, variance, largest) = moments(&data);
        assert!(mean.abs() < 5e-3, "{mean}");
        assert!((variance.sqrt() / 0.25 - 1.0).abs() < 0.02, "{variance}");
        assert!(largest > 0.75, "{largest}");
    }

    #[test]
    fn orthogonal_factors_have_a_product_of_zero_at_every_rank() {
        for rank in [1, 2, 5, 8] {
            let (d_in, d_out) = (12, 7);
            let (a, b) = orthogonal(d_in, d_out, rank, &mut ChaCha8Rng::seed_from_u64(1));
            let host = |data: &TensorData| data.iter::<f32>().collect::<Vec<f32>>();
            let (a, b) = (host(&a), host(&b));
            let largest = |values: &[f32]| values.iter().fold(0.0f32, |m, v| m.max(v.abs()));
            assert!(largest(&a) > 0.05, "rank {rank}");
            assert_eq!(largest(&b) > 0.05, rank > 1, "rank {rank}");
            for (i, o) in (0..d_in).flat_map(|i| (0..d_out).map(move |o| (i, o))) {
                let product = |k: usize| a[i * rank + k] * b[k * d_out + o];
                let sum: f32 = (0..rank).map(product).sum();
                assert!(sum.abs() < 1e-7, "rank {rank}: {sum}");
            }
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_factors_and_another_seed_gives_others() {
        let draw = |seed| kaiming_uniform(8, 4, &mut ChaCha8Rng::seed_from_u64(seed));
        assert_eq!(draw(3), draw(3));
        assert_ne!(draw(3), draw(4));
    }
}
