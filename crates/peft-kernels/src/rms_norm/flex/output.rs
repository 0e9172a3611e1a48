//! The normalised values from the output of a norm in place of its input.

use burn::backend::flex::FlexTensor;
use pulp::Simd;

use super::inverse;
use crate::flex::{Kernel, RowNumbers, transform, values};
use crate::kept::Kept;
use crate::math::sum_pairs;

/// Smallest scale of a column: with less, outputs would come near the smallest numbers, which have few digits.
const SMALLEST: f32 = 1e-20;

/// Whether the normalised values can be had back from the output.
pub(super) fn recoverable(gamma: &[f32]) -> bool {
    let is_fine = |gamma: &f32| (SMALLEST..f32::INFINITY).contains(&gamma.abs());
    !gamma.is_empty() && gamma.iter().all(is_fine)
}

/// What the backward needs of a forward pass.
#[derive(Clone, Debug)]
pub(super) struct Output {
    y: Kept,
    gamma: FlexTensor,
    /// `r` of each row.
    inverses: Vec<f32>,
}

impl Output {
    /// The output, and what is kept of it.
    pub(super) fn new(x: FlexTensor, gamma: FlexTensor, eps: f32) -> (FlexTensor, Self) {
        let d = values(&gamma).len();
        let rows = x.layout().num_elements() / d;
        let inverses = RowNumbers::new(rows);
        let kernel = Forward {
            gamma: values(&gamma),
            eps,
            inverses: &inverses,
        };
        let y = transform(x, d, &kernel);
        let output = Self {
            y: Kept::new(y.clone()),
            gamma,
            inverses: inverses.into_values(),
        };
        (y, output)
    }

    /// The gradient of the input from that of the output.
    pub(super) fn backward(&self, grad: FlexTensor) -> FlexTensor {
        let y = self.y.tensor();
        let gamma = values(&self.gamma);
        let kernel = Derivative {
            outputs: values(&y),
            inverses: &self.inverses,
            gamma,
            back: gamma.iter().map(|gamma| gamma.recip()).collect(),
        };
        transform(grad, gamma.len(), &kernel)
    }
}

struct Forward<'a> {
    gamma: &'a [f32],
    eps: f32,
    inverses: &'a RowNumbers,
}

impl Kernel for Forward<'_> {
    const NAME: &'static str = "rms norm";

    #[inline(always)]
    fn run<S: Simd>(&self, start: usize, chunk: &mut [f32]) {
        let d = self.gamma.len();
        for (at, row) in chunk.chunks_exact_mut(d).enumerate() {
            let r = inverse(row, self.eps);
            self.inverses.set(start / d + at, r);
            for (x, gamma) in row.iter_mut().zip(self.gamma) {
                *x *= r * gamma;
            }
        }
    }
}

/// Turns the gradient of the output into that of the input.
struct Derivative<'a> {
    outputs: &'a [f32],
    inverses: &'a [f32],
    gamma: &'a [f32],
    /// `1 / gamma`.
    back: Vec<f32>,
}

impl Kernel for Derivative<'_> {
    const NAME: &'static str = "rms norm backward";
    const STREAMS: usize = 3;

    #[inline(always)]
    fn run<S: Simd>(&self, start: usize, chunk: &mut [f32]) {
        let d = self.gamma.len();
        let outputs = &self.outputs[start..start + chunk.len()];
        let rows = chunk.chunks_exact_mut(d).zip(outputs.chunks_exact(d));
        for ((grad, y), r) in rows.zip(&self.inverses[start / d..]) {
            // g gamma n = g y
            let along = sum_pairs(grad, y, |g, y| g * y) / d as f32;
            let columns = y.iter().zip(self.gamma).zip(&self.back);
            for (g, ((y, gamma), back)) in grad.iter_mut().zip(columns) {
                *g = r * (*g * gamma - y * back * along);
            }
        }
    }
}
