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
        .map(|_| {
            // 1 - u lies in (0, 1], so the logarithm is finite.
            let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
            let angle = std::f64::consts::TAU * rng.random::<f64>();
            (radius * angle.cos() * std) as f32
        })
        .collect();
    TensorData::new(values, [d_in, rank])
}

/// Zeros of shape `[rank, d_out]`: with `B = 0` an adapter starts as exactly the base.
#[must_use]
pub fn zeros(rank: usize, d_out: usize) -> TensorData {
    TensorData::new(vec![0.0f32; rank * d_out], [rank, d_out])
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
    fn the_same_seed_gives_the_same_factors_and_another_seed_gives_others() {
        let draw = |seed| kaiming_uniform(8, 4, &mut ChaCha8Rng::seed_from_u64(seed));
        assert_eq!(draw(3), draw(3));
        assert_ne!(draw(3), draw(4));
    }
}
