//! Layer normalisation fused on flex.
//!
//! ```text
//! r = 1 / sqrt(var + eps),  n = (x - mean) r
//! dx = r (g gamma - mean(g gamma) - n mean(g gamma n)),  dgamma = sum_rows g n,  dbeta = sum_rows g
//! ```
//!
//! The backward needs `n` and `r`. Of a norm that is trained, the input is kept and both are computed again. Of a frozen one, the output and
//! `r` are kept, and `n = (y - beta) / gamma`: a layer that reads the output and is adapted keeps it anyway, so that the norm keeps nothing of
//! its own. A column that `beta` shifts far beyond what `gamma` scales would lose digits by that; then the input is kept here too.

mod output;

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;
use pulp::Simd;

use crate::flex::{Kernel, contiguous, transform, values};
use crate::fused::fused;
use crate::kept::Kept;
use crate::math::{mul_add, sum, sum_pairs};
use crate::row_sums::{Row, row_sums};
use output::{Output, recoverable};

type Inputs<const D: usize> = (Tensor<D>, Tensor<1>, Tensor<1>);

/// The fused layer norm, or the tensors back when the fused path does not apply to all of them.
pub(super) fn layer_norm<const D: usize>(
    x: Tensor<D>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    eps: f64,
) -> Result<Tensor<D>, Inputs<D>> {
    let (x, gamma, beta) = fused((x, gamma, beta))?;
    let y = Dispatch::fused_layer_norm(x, gamma, beta, eps as f32);
    Ok(Tensor::from_dispatch(y))
}

#[backend_extension(Autodiff, Flex)]
pub(super) trait LayerNormOps: Backend {
    fn fused_layer_norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        eps: f32,
    ) -> FloatTensor<Self>;
}

impl LayerNormOps for Flex {
    fn fused_layer_norm(
        x: FlexTensor,
        gamma: FlexTensor,
        beta: FlexTensor,
        eps: f32,
    ) -> FlexTensor {
        let (gamma, beta) = (contiguous(gamma), contiguous(beta));
        let kernel = Forward {
            gamma: values(&gamma),
            beta: values(&beta),
            eps,
        };
        transform(x, values(&gamma).len().max(1), &kernel)
    }
}

impl<C: CheckpointStrategy> LayerNormOps for Autodiff<Flex, C> {
    fn fused_layer_norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        eps: f32,
    ) -> FloatTensor<Self> {
        let is_frozen = !gamma.is_tracked() && !beta.is_tracked();
        let (x, x_node) = x.into_parts();
        let (gamma, gamma_node) = gamma.into_parts();
        let (beta, beta_node) = beta.into_parts();
        let step = LayerNormStep.prepare::<C>([x_node, gamma_node, beta_node]);
        match step.compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let (gamma, beta) = (contiguous(gamma), contiguous(beta));
                if is_frozen && recoverable(values(&gamma), values(&beta)) {
                    let (y, output) = Output::new(x, &gamma, beta, eps);
                    let source = Source::Output(output);
                    return prep.finish(Saved { source, gamma, eps }, y);
                }
                let x = contiguous(x);
                let source = Source::Input(Kept::new(x.clone()));
                let y = Flex::fused_layer_norm(x, gamma.clone(), beta, eps);
                prep.finish(Saved { source, gamma, eps }, y)
            }
            OpsKind::UnTracked(prep) => prep.finish(Flex::fused_layer_norm(x, gamma, beta, eps)),
        }
    }
}

/// What the normalised values come from.
#[derive(Clone, Debug)]
enum Source {
    Input(Kept),
    /// Of a frozen norm.
    Output(Output),
}

/// What the backward needs.
#[derive(Clone, Debug)]
struct Saved {
    source: Source,
    gamma: FlexTensor,
    eps: f32,
}

#[derive(Debug)]
struct LayerNormStep;

impl Backward<Flex, 3> for LayerNormStep {
    type State = Saved;

    fn backward(self, ops: Ops<Saved, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let Saved { source, gamma, eps } = &ops.state;
        let grad = contiguous(grads.consume::<Flex>(&ops.node));
        let [x_node, gamma_node, beta_node] = ops.parents;
        let x = &match source {
            Source::Input(x) => x.tensor(),
            Source::Output(output) => {
                if let Some(node) = x_node {
                    grads.register::<Flex>(node.id, output.backward(grad, gamma));
                }
                return;
            }
        };
        if gamma_node.is_some() || beta_node.is_some() {
            let sums = &ParameterSums { eps: *eps };
            let [d_gamma, d_beta] = row_sums(values(x), values(&grad), gamma, sums);
            if let Some(node) = gamma_node {
                grads.register::<Flex>(node.id, d_gamma);
            }
            if let Some(node) = beta_node {
                grads.register::<Flex>(node.id, d_beta);
            }
        }
        if let Some(node) = x_node {
            let kernel = Derivative {
                inputs: values(x),
                gamma: values(gamma),
                eps: *eps,
            };
            let row = kernel.gamma.len().max(1);
            grads.register::<Flex>(node.id, transform(grad, row, &kernel));
        }
    }
}

/// `(mean, 1 / sqrt(var + eps))` of a row.
#[inline(always)]
fn moments(row: &[f32], eps: f32) -> (f32, f32) {
    let count = row.len() as f32;
    let mean = sum(row, |x| x) / count;
    let variance = sum(row, |x| (x - mean) * (x - mean)) / count;
    (mean, 1.0 / (variance + eps).sqrt())
}

/// A row to `gamma (x - mean) r + beta`.
#[inline(always)]
fn normalise<S: Simd>(row: &mut [f32], mean: f32, inverse: f32, gamma: &[f32], beta: &[f32]) {
    for ((x, gamma), beta) in row.iter_mut().zip(gamma).zip(beta) {
        *x = mul_add::<S>((*x - mean) * inverse, *gamma, *beta);
    }
}

/// The gradient of a row of the output to that of the input, by the normalised row.
#[inline(always)]
fn input_gradient(grad: &mut [f32], normal: &[f32], gamma: &[f32], inverse: f32) {
    for (g, gamma) in grad.iter_mut().zip(gamma) {
        *g *= gamma;
    }
    let share = 1.0 / grad.len() as f32;
    let level = share * sum(grad, |g| g);
    let along = share * sum_pairs(grad, normal, |g, normal| g * normal);
    for (g, normal) in grad.iter_mut().zip(normal) {
        *g = inverse * (*g - level - normal * along);
    }
}

struct Forward<'a> {
    gamma: &'a [f32],
    beta: &'a [f32],
    eps: f32,
}

impl Kernel for Forward<'_> {
    const NAME: &'static str = "layer norm";

    #[inline(always)]
    fn run<S: Simd>(&self, _start: usize, chunk: &mut [f32]) {
        for row in chunk.chunks_exact_mut(self.gamma.len()) {
            let (mean, inverse) = moments(row, self.eps);
            normalise::<S>(row, mean, inverse, self.gamma, self.beta);
        }
    }
}

/// Turns the gradient of the output into that of the input.
struct Derivative<'a> {
    inputs: &'a [f32],
    gamma: &'a [f32],
    eps: f32,
}

impl Kernel for Derivative<'_> {
    const NAME: &'static str = "layer norm backward";
    const STREAMS: usize = 3;

    #[inline(always)]
    fn run<S: Simd>(&self, start: usize, chunk: &mut [f32]) {
        let d = self.gamma.len();
        let inputs = &self.inputs[start..start + chunk.len()];
        let mut normal = vec![0.0; d];
        for (grad, x) in chunk.chunks_exact_mut(d).zip(inputs.chunks_exact(d)) {
            let (mean, inverse) = moments(x, self.eps);
            for (normal, x) in normal.iter_mut().zip(x) {
                *normal = (x - mean) * inverse;
            }
            input_gradient(grad, &normal, self.gamma, inverse);
        }
    }
}

/// `dgamma` and `dbeta`.
struct ParameterSums {
    eps: f32,
}

impl Row<2> for ParameterSums {
    #[inline(always)]
    fn add<S: Simd>(&self, x: &[f32], grad: &[f32], [d_gamma, d_beta]: &mut [Vec<f32>; 2]) {
        let (mean, inverse) = moments(x, self.eps);
        let totals = d_gamma.iter_mut().zip(d_beta);
        for ((x, g), (d_gamma, d_beta)) in x.iter().zip(grad).zip(totals) {
            *d_gamma += g * ((x - mean) * inverse);
            *d_beta += g;
        }
    }
}
