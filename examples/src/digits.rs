//! Made digits: a small font on 8 by 8 pixels, moved about and noisy; upright ones to pretrain on, rotated ones to adapt to.

use burn::tensor::{Device, Int, Tensor, TensorData};
use peft_train::data::Target;
use peft_train::task::ExampleSet;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Pixels of a side.
pub const SIDE: usize = 8;
/// Pixels of a picture.
pub const PIXELS: usize = SIDE * SIDE;

/// Rows from top to bottom, five pixels each, the leftmost in the highest bit.
const FONT: [[u8; 7]; 10] = [
    [14, 17, 19, 21, 25, 17, 14],
    [4, 12, 4, 4, 4, 4, 14],
    [14, 17, 1, 2, 4, 8, 31],
    [31, 2, 4, 2, 1, 17, 14],
    [2, 6, 10, 18, 31, 2, 2],
    [31, 16, 30, 1, 1, 17, 14],
    [6, 8, 16, 30, 17, 17, 14],
    [31, 1, 2, 4, 8, 8, 8],
    [14, 17, 17, 14, 17, 17, 14],
    [14, 17, 17, 15, 1, 2, 12],
];

/// Pictures with what they show.
#[derive(Debug, Clone)]
pub struct Digits {
    pixels: Vec<[f32; PIXELS]>,
    targets: Vec<Target>,
}

impl Digits {
    /// So many upright digits.
    #[must_use]
    pub fn upright(seed: u64, count: usize) -> Self {
        Self::made(seed, count, |row, column| row * SIDE + column)
    }

    /// So many digits turned by a quarter to the right.
    #[must_use]
    pub fn rotated(seed: u64, count: usize) -> Self {
        Self::made(seed, count, |row, column| column * SIDE + SIDE - 1 - row)
    }

    fn made(seed: u64, count: usize, place: fn(usize, usize) -> usize) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let digits: Vec<usize> = (0..count).map(|at| at % FONT.len()).collect();
        let picture = |digit: &usize| {
            let (down, right) = (rng.random_range(0..2), rng.random_range(0..4));
            let mut pixels = [0.0; PIXELS].map(|_: f32| rng.random_range(-0.4..0.4));
            for (row, bits) in FONT[*digit].into_iter().enumerate() {
                for column in (0..5).filter(|column| bits >> (4 - column) & 1 == 1) {
                    pixels[place(row + down, column + right)] += 1.0;
                }
            }
            pixels
        };
        Self {
            pixels: digits.iter().map(picture).collect(),
            targets: digits.iter().map(|digit| Target::Class(*digit)).collect(),
        }
    }

    /// The pixels of some pictures, shape `[examples, PIXELS]`.
    #[must_use]
    pub fn pixels(&self, examples: &[usize], device: &Device) -> Tensor<2> {
        let pixels: Vec<f32> = examples.iter().flat_map(|at| self.pixels[*at]).collect();
        Tensor::from_data(TensorData::new(pixels, [examples.len(), PIXELS]), device)
    }

    /// What they show, shape `[examples]`.
    #[must_use]
    pub fn classes(&self, examples: &[usize], device: &Device) -> Tensor<1, Int> {
        let class = |at: &usize| match self.targets[*at] {
            Target::Class(class) => class as i32,
            _ => unreachable!("every target of these digits is a class"),
        };
        let classes: Vec<i32> = examples.iter().map(class).collect();
        Tensor::from_data(TensorData::new(classes, [examples.len()]), device)
    }

    /// Every example.
    #[must_use]
    pub fn all(&self) -> Vec<usize> {
        (0..self.targets.len()).collect()
    }
}

impl ExampleSet for Digits {
    fn lengths(&self) -> Vec<usize> {
        vec![1; self.targets.len()]
    }

    fn targets(&self) -> &[Target] {
        &self.targets
    }
}
