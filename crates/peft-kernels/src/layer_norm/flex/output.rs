//! The normalised values from the output of a layer norm in place of its input.

use burn::backend::flex::FlexTensor;
use pulp::Simd;

use super::{input_gradient, moments, normalise};
use crate::flex::{Kernel, RowNumbers, transform, values};
use crate::kept::Kept;

/// Largest `|beta / gamma|` of a column: `(y - beta) / gamma` has the rounding of `y`, which is up to so many times that of the normalised value.
const LARGEST_SHIFT: f32 = 16.0;

/// Whether the normalised values can be had back from the output.
pub(super) fn recoverable(gamma: &[f32], beta: &[f32]) -> bool {
    let mut columns = gamma.iter().zip(beta);
    !gamma.is_empty()
        && columns
            .all(|(gamma, beta)| gamma.is_normal() && beta.abs() <= LARGEST_SHIFT * gamma.abs())
}

/// What the backward needs of a forward pass.
#[derive(Clone, Debug)]
pub(super) struct Output {
    y: Kept,
    beta: FlexTensor,
    /// `1 / sqrt(var + eps)` of each row.
    inverses: Vec<f32>,
}

impl Output {
    /// The output, and what is kept of it.
    pub(super) fn new(
        x: FlexTensor,
        gamma: &FlexTensor,
        beta: FlexTensor,
        eps: f32,
    ) -> (FlexTensor, Self) {
        let d = values(gamma).len();
        let rows = x.layout().num_elements() / d;
        let inverses = RowNumbers::new(rows);
        let kernel = Forward {
            gamma: values(gamma),
            beta: values(&beta),
            eps,
            inverses: &inverses,
        };
        let y = transform(x, d, &kernel);
        let output = Self {
            y: Kept::new(y.clone()),
            beta,
            inverses: inverses.into_values(),
        };
        (y, output)
    }

    /// The gradient of the input from that of the output.
    pub(super) fn backward(&self, grad: FlexTensor, gamma: &FlexTensor) -> FlexTensor {
        let y = self.y.tensor();
        let kernel = Derivative {
            outputs: values(&y),
            inverses: &self.inverses,
            gamma: values(gamma),
            beta: values(&self.beta),
            back: values(gamma).iter().map(|gamma| gamma.recip()).collect(),
        };
        transform(grad, kernel.gamma.len(), &kernel)
    }
}

struct Forward<'a> {
    gamma: &'a [f32],
    beta: &'a [f32],
    eps: f32,
    inverses: &'a RowNumbers,
}

impl Kernel for Forward<'_> {
    const NAME: &'static str = "layer norm";

    #[inline(always)]
    fn run<S: Simd>(&self, start: usize, chunk: &mut [f32]) {
        let d = self.gamma.len();
        for (at, row) in chunk.chunks_exact_mut(d).enumerate() {
            let (mean, inverse) = moments(row, self.eps);
            self.inverses.set(start / d + at, inverse);
            normalise::<S>(row, mean, inverse, self.gamma, self.beta);
        }
    }
}

/// Turns the gradient of the output into that of the input.
struct Derivative<'a> {
    outputs: &'a [f32],
    inverses: &'a [f32],
    gamma: &'a [f32],
    beta: &'a [f32],
    /// `1 / gamma`.
    back: Vec<f32>,
}

impl Kernel for Derivative<'_> {
    const NAME: &'static str = "layer norm backward";
    const STREAMS: usize = 3;

    #[inline(always)]
    fn run<S: Simd>(&self, start: usize, chunk: &mut [f32]) {
        let d = self.gamma.len();
        let outputs = &self.outputs[start..start + chunk.len()];
        let inverses = &self.inverses[start / d..];
        let mut normal = vec![0.0; d];
        let rows = chunk.chunks_exact_mut(d).zip(outputs.chunks_exact(d));
        for ((grad, y), inverse) in rows.zip(inverses) {
            let columns = y.iter().zip(self.beta).zip(&self.back);
            for (n, ((y, beta), back)) in normal.iter_mut().zip(columns) {
                *n = (y - beta) * back;
            }
            input_gradient(grad, &normal, self.gamma, *inverse);
        }
    }
}
