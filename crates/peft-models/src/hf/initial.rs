//! Initial values of parameters that no file holds, as `transformers` draws them.

use peft_core::param_id;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// How a fresh parameter starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// `N(0, initializer_range^2)`: weights of linear layers and embeddings.
    Normal,
    /// Biases.
    Zeros,
    /// Scales of layer norms.
    Ones,
}

/// Draws fresh parameters; the values depend on seed and name only, never on the order of the calls.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Initial {
    /// Seed of the whole model.
    pub(crate) seed: u64,
    /// `initializer_range` of the configuration.
    pub(crate) std: f32,
}

impl Initial {
    /// `count` values for the parameter `name`.
    pub(crate) fn draw(self, name: &str, start: Start, count: usize) -> Vec<f32> {
        match start {
            Start::Zeros => vec![0.0; count],
            Start::Ones => vec![1.0; count],
            Start::Normal => {
                let key = param_id(&format!("{}:{name}", self.seed)).val();
                let mut rng = ChaCha8Rng::seed_from_u64(key);
                let mut values = Vec::with_capacity(count + 1);
                while values.len() < count {
                    let (first, second) = normal_pair(&mut rng);
                    values.extend([first * self.std, second * self.std]);
                }
                values.truncate(count);
                values
            }
        }
    }
}

/// Two independent standard normal numbers (Box and Muller).
fn normal_pair(rng: &mut ChaCha8Rng) -> (f32, f32) {
    let radius = (-2.0 * (1.0 - rng.random::<f32>()).ln()).sqrt();
    let angle = std::f32::consts::TAU * rng.random::<f32>();
    (radius * angle.cos(), radius * angle.sin())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fresh_weights_have_the_asked_spread_and_depend_on_seed_and_name_only() {
        let initial = Initial { seed: 7, std: 0.02 };
        let values = initial.draw("classifier.weight", Start::Normal, 10_001);
        let mean = values.iter().sum::<f32>() / 10_001.0;
        let std = (values.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / 10_001.0).sqrt();
        assert!(mean.abs() < 1e-3, "mean {mean}");
        assert!((std - 0.02).abs() < 1e-3, "std {std}");
        initial.draw("another", Start::Normal, 3);
        assert_eq!(
            values,
            initial.draw("classifier.weight", Start::Normal, 10_001)
        );
        assert_ne!(
            values,
            initial.draw("classifier.other", Start::Normal, 10_001)
        );
        let other = Initial { seed: 8, std: 0.02 };
        assert_ne!(
            values,
            other.draw("classifier.weight", Start::Normal, 10_001)
        );
    }
}
