//! Rotary position embeddings (RoFormer, Su et al. 2021, arXiv 2104.09864), with the scalings of long-context checkpoints.
//!
//! With `theta_j = position * f_j`, `f_j = base^(-2 j / d)`, `j = 0 .. d/2`, each pair `(x_j, x_{j + d/2})` of a head turns by
//! `theta_j`: `y_j = x_j cos - x_{j + d/2} sin`, `y_{j + d/2} = x_{j + d/2} cos + x_j sin`. The pairing is that of Hugging Face's
//! checkpoints, whose projections are permuted for it. Models may turn the first `d` values of a head alone.

mod fields;
mod scaling;
#[cfg(test)]
mod tests;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use peft_core::cast;
use peft_kernels::rotary;

pub use fields::RopeFields;

/// The frequencies of a head's pairs.
#[derive(Debug, Clone, PartialEq)]
pub struct Rope {
    frequencies: Frequencies,
    /// Factor of cosines and sines, by which some scalings sharpen the scores of attention.
    magnitude: f32,
}

/// Frequencies, which some scalings let depend on the length of the text.
#[derive(Debug, Clone, PartialEq)]
enum Frequencies {
    /// The same for every length.
    Fixed(Vec<f32>),
    /// Of a base that grows with texts longer than `trained` ("dynamic NTK"): `base ((factor length / trained) - (factor - 1))^(d / (d -
    /// 2))`.
    Dynamic {
        base: f64,
        factor: f64,
        trained: usize,
        width: usize,
    },
    /// One set for texts of up to `trained` tokens, another for longer ones (LongRoPE, Ding et al., arXiv 2402.13753).
    ByLength {
        short: Vec<f32>,
        long: Vec<f32>,
        trained: usize,
    },
}

/// Cosines and sines of every position of a batch, shape `[batch or 1, 1, seq, d / 2]` each.
#[derive(Module, Debug)]
pub struct Rotation {
    cos: Tensor<4>,
    sin: Tensor<4>,
}

/// `base^(-2 j / width)`.
fn plain(base: f64, width: usize) -> Vec<f64> {
    (0..width / 2)
        .map(|j| base.powf(-2.0 * j as f64 / width as f64))
        .collect()
}

fn rounded(frequencies: Vec<f64>) -> Vec<f32> {
    frequencies.into_iter().map(|f| f as f32).collect()
}

impl Frequencies {
    /// Those for a text of so many tokens.
    fn of(&self, length: usize) -> Vec<f32> {
        match self {
            Self::Fixed(frequencies) => frequencies.clone(),
            Self::Dynamic {
                base,
                factor,
                trained,
                width,
            } => {
                let stretch = length.max(*trained) as f64 / *trained as f64;
                let width_of_base = *width as f64 / (*width as f64 - 2.0);
                let base = base * (factor * stretch - (factor - 1.0)).powf(width_of_base);
                rounded(plain(base, *width))
            }
            Self::ByLength {
                short,
                long,
                trained,
            } => match length > *trained {
                true => long.clone(),
                false => short.clone(),
            },
        }
    }
}

impl Rope {
    /// Whether texts of these two lengths are turned by different sets of frequencies. Frequencies that grow with every token do not count:
    /// keys stay as they were turned, as in transformers.
    pub(crate) fn changes_between(&self, before: usize, after: usize) -> bool {
        match &self.frequencies {
            Frequencies::ByLength { trained, .. } => (before > *trained) != (after > *trained),
            Frequencies::Fixed(_) | Frequencies::Dynamic { .. } => false,
        }
    }

    /// The longest text of a model that was made for `max_positions` tokens.
    pub(crate) fn reach(&self, max_positions: usize) -> usize {
        match &self.frequencies {
            Frequencies::Dynamic { factor, .. } => {
                (max_positions as f64 * factor.max(1.0)) as usize
            }
            Frequencies::Fixed(_) | Frequencies::ByLength { .. } => max_positions,
        }
    }

    /// The rotation of these positions: one list per row of the batch, or one for all rows. Where frequencies depend on the length, it is
    /// that of the longest row, as in transformers.
    #[must_use]
    pub fn rotation(&self, positions: &[Vec<usize>], device: &Device) -> Rotation {
        let (rows, seq) = (positions.len(), positions.first().map_or(0, Vec::len));
        let length = positions.iter().flatten().max().map_or(0, |last| last + 1);
        let frequencies = self.frequencies.of(length);
        let angles: Vec<f32> = positions
            .iter()
            .flatten()
            .flat_map(|at| frequencies.iter().map(move |f| *at as f32 * f))
            .collect();
        let shape = [rows, 1, seq, frequencies.len()];
        let tensor = |f: fn(f32) -> f32| {
            let values = angles.iter().map(|angle| f(*angle) * self.magnitude);
            Tensor::from_data(TensorData::new(values.collect::<Vec<f32>>(), shape), device)
        };
        Rotation {
            cos: tensor(f32::cos),
            sin: tensor(f32::sin),
        }
    }
}

impl Rotation {
    /// Turns queries or keys `x [batch, heads, seq, d_head]`: the first values of each head, as many as there are angles for.
    #[must_use]
    pub fn apply(&self, x: Tensor<4>) -> Tensor<4> {
        let angles = |values: &Tensor<4>| cast(values.clone(), x.dtype());
        let (cos, sin) = (angles(&self.cos), angles(&self.sin));
        let (d_head, turned) = (x.dims()[3], 2 * self.cos.dims()[3]);
        if turned == d_head {
            return rotary(x, cos, sin);
        }
        let kept = x.clone().narrow(3, turned, d_head - turned);
        Tensor::cat(vec![rotary(x.narrow(3, 0, turned), cos, sin), kept], 3)
    }
}
