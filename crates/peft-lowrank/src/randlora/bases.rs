//! The random bases, as PEFT draws them: a folder without them can be read, and a new adapter has the ones that PEFT would have.
//!
//! PEFT fills `randlora_A [rank, 1, small]` and then `randlora_B [large, bases, rank]` from one generator and divides each by its standard
//! deviation: values of Kaiming's distribution in bfloat16, basis after basis, or -1, 0 and 1 where values of `U(0, 1)` are small, middling or large.

use burn::tensor::TensorData;
use peft_core::AttachedSite;
use serde::{Deserialize, Serialize};

use crate::torch::Torch;

/// What random bases are drawn from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// Kaiming-uniform values, rounded to bfloat16.
    #[default]
    Dense,
    /// -1 and 1 with a probability of 1/6 each, else 0.
    Sparse,
    /// -1 and 1 with a probability of `1 / (2 sqrt(small))` each, else 0.
    VerySparse,
}

/// The fewer and the more of inputs and outputs, and how many bases make the full rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Widths {
    pub(super) small: usize,
    pub(super) large: usize,
    pub(super) bases: usize,
}

impl Widths {
    pub(super) fn of((d_in, d_out): (usize, usize), rank: usize) -> Self {
        let small = d_in.min(d_out);
        Self {
            small,
            large: d_in.max(d_out),
            bases: small.div_ceil(rank),
        }
    }

    /// The largest number of inputs and the largest of outputs.
    pub(super) fn largest(sites: &[AttachedSite], at_least: (usize, usize)) -> (usize, usize) {
        sites.iter().fold(at_least, |(d_in, d_out), site| {
            (d_in.max(site.d_in), d_out.max(site.d_out))
        })
    }

    pub(super) fn shape_of_a(&self, rank: usize) -> [usize; 3] {
        [rank, 1, self.small]
    }

    pub(super) fn shape_of_b(&self, rank: usize) -> [usize; 3] {
        [self.large, self.bases, rank]
    }
}

impl Basis {
    /// `A` and `B` of a seed.
    pub(super) fn draw(self, seed: u64, widths: Widths, rank: usize) -> [TensorData; 2] {
        let mut generator = Torch::new(seed);
        let Widths {
            small,
            large,
            bases,
        } = widths;
        let (a, b) = match self.thinness(small) {
            None => {
                let a = kaiming(&mut generator, rank * small, small);
                let mut b = vec![0.0; large * bases * rank];
                for basis in 0..bases {
                    let values = kaiming(&mut generator, large * rank, rank);
                    for (row, values) in values.chunks(rank).enumerate() {
                        let at = (row * bases + basis) * rank;
                        b[at..at + rank].copy_from_slice(values);
                    }
                }
                (scaled(a, bfloat16), scaled(b, bfloat16))
            }
            Some(thinness) => {
                let mut signs = |count| -> Vec<f32> {
                    (0..count)
                        .map(|_| sign(generator.unit(), thinness))
                        .collect()
                };
                let (a, b) = (signs(rank * small), signs(large * bases * rank));
                (scaled(a, |value| value), scaled(b, |value| value))
            }
        };
        let [of_a, of_b] = [widths.shape_of_a(rank), widths.shape_of_b(rank)];
        [TensorData::new(a, of_a), TensorData::new(b, of_b)]
    }

    /// One over the share of values that are not zero.
    fn thinness(self, small: usize) -> Option<f64> {
        match self {
            Self::Dense => None,
            Self::Sparse => Some(3.0),
            Self::VerySparse => Some((small as f64).sqrt()),
        }
    }
}

/// Values of `U(-1/sqrt(fan_in), 1/sqrt(fan_in))` in bfloat16.
fn kaiming(generator: &mut Torch, count: usize, fan_in: usize) -> Vec<f32> {
    // The gain for leaky rectifiers of slope sqrt(5).
    let gain = (2.0f64 / 6.0).sqrt();
    (0..count)
        .map(|_| bfloat16(generator.kaiming(gain, fan_in)))
        .collect()
}

fn sign(value: f32, thinness: f64) -> f32 {
    let edge = 1.0 / (2.0 * thinness);
    if value < edge as f32 {
        -1.0
    } else if value > (1.0 - edge) as f32 {
        1.0
    } else {
        0.0
    }
}

/// The values over their standard deviation; both are rounded.
fn scaled(mut values: Vec<f32>, round: impl Fn(f32) -> f32) -> Vec<f32> {
    let count = values.len() as f64;
    let mean = values.iter().map(|value| f64::from(*value)).sum::<f64>() / count;
    let squares = values
        .iter()
        .map(|value| (f64::from(*value) - mean).powi(2))
        .sum::<f64>();
    let deviation = round((squares / (count - 1.0)).sqrt() as f32);
    for value in &mut values {
        *value = round(*value / deviation);
    }
    values
}

/// The nearest number of bfloat16, of two equally near the even one.
fn bfloat16(value: f32) -> f32 {
    let bits = value.to_bits();
    let even = (bits >> 16) & 1;
    f32::from_bits((bits + 0x7fff + even) & 0xffff_0000)
}
