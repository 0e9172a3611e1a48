//! Layer normalisation fused on flex; the backward computes the mean and the deviation of a row again.
//!
//! ```text
//! r = 1 / sqrt(var + eps),  n = (x - mean) r
//! dx = r (g gamma - mean(g gamma) - n mean(g gamma n)),  dgamma = sum_rows g n,  dbeta = sum_rows g
//! ```

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{
    Autodiff, Backend, Dispatch, Flex, TensorData, TensorMetadata, backend_extension,
};
use burn::tensor::Tensor;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::flex::{Kernel, contiguous, fused, transform, values};
use crate::math::{mul_add, sum, sum_pairs};

/// Rows whose parameter gradients one task adds up: fixed, so that the order of the sum is.
const ROWS_PER_TASK: usize = 64;

type Inputs<const D: usize> = (Tensor<D>, Tensor<1>, Tensor<1>);

/// The fused layer norm, or the tensors back when the fused path does not apply to all of them.
pub(super) fn layer_norm<const D: usize>(
    x: Tensor<D>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    eps: f64,
) -> Result<Tensor<D>, Inputs<D>> {
    let x = match fused(x) {
        Ok(x) => x,
        Err(x) => return Err((x, gamma, beta)),
    };
    let gamma = match fused(gamma) {
        Ok(gamma) => gamma,
        Err(gamma) => return Err((Tensor::from_dispatch(x), gamma, beta)),
    };
    match fused(beta) {
        Ok(beta) => {
            let y = Dispatch::fused_layer_norm(x, gamma, beta, eps as f32);
            Ok(Tensor::from_dispatch(y))
        }
        Err(beta) => Err((Tensor::from_dispatch(x), Tensor::from_dispatch(gamma), beta)),
    }
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
        let (x, x_node) = x.into_parts();
        let (gamma, gamma_node) = gamma.into_parts();
        let (beta, beta_node) = beta.into_parts();
        let step = LayerNormStep.prepare::<C>([x_node, gamma_node, beta_node]);
        match step.compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let state = Saved {
                    x: contiguous(x),
                    gamma: contiguous(gamma),
                    eps,
                };
                let y = Flex::fused_layer_norm(state.x.clone(), state.gamma.clone(), beta, eps);
                prep.finish(state, y)
            }
            OpsKind::UnTracked(prep) => prep.finish(Flex::fused_layer_norm(x, gamma, beta, eps)),
        }
    }
}

/// What the backward needs.
#[derive(Clone, Debug)]
struct Saved {
    x: FlexTensor,
    gamma: FlexTensor,
    eps: f32,
}

#[derive(Debug)]
struct LayerNormStep;

impl Backward<Flex, 3> for LayerNormStep {
    type State = Saved;

    fn backward(self, ops: Ops<Saved, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let Saved { x, gamma, eps } = &ops.state;
        let grad = contiguous(grads.consume::<Flex>(&ops.node));
        let [x_node, gamma_node, beta_node] = ops.parents;
        if gamma_node.is_some() || beta_node.is_some() {
            let [d_gamma, d_beta] = parameter_gradients(values(x), values(&grad), gamma, *eps);
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
            for ((x, gamma), beta) in row.iter_mut().zip(self.gamma).zip(self.beta) {
                *x = mul_add::<S>((*x - mean) * inverse, *gamma, *beta);
            }
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
        for (grad, x) in chunk.chunks_exact_mut(d).zip(inputs.chunks_exact(d)) {
            let (mean, inverse) = moments(x, self.eps);
            for (g, gamma) in grad.iter_mut().zip(self.gamma) {
                *g *= gamma;
            }
            let share = 1.0 / d as f32;
            let level = share * sum(grad, |g| g);
            let along = share * inverse * sum_pairs(grad, x, |g, x| g * (x - mean));
            for (g, x) in grad.iter_mut().zip(x) {
                let normal = (x - mean) * inverse;
                *g = inverse * (*g - level - normal * along);
            }
        }
    }
}

/// `[dgamma, dbeta]`, added up over blocks of rows in their order.
fn parameter_gradients(x: &[f32], grad: &[f32], gamma: &FlexTensor, eps: f32) -> [FlexTensor; 2] {
    let d = values(gamma).len();
    let block = ROWS_PER_TASK * d.max(1);
    let parts: Vec<[Vec<f32>; 2]> = x
        .par_chunks(block)
        .zip(grad.par_chunks(block))
        .map(|(x, grad)| Arch::new().dispatch(ParameterBlock { x, grad, d, eps }))
        .collect();
    let mut totals = [vec![0.0_f32; d], vec![0.0_f32; d]];
    for part in parts {
        for (total, values) in totals.iter_mut().zip(part) {
            total.iter_mut().zip(values).for_each(|(t, v)| *t += v);
        }
    }
    totals.map(|values| FlexTensor::from_data(TensorData::new(values, gamma.shape())))
}

/// The parameter gradients of a few rows.
struct ParameterBlock<'a> {
    x: &'a [f32],
    grad: &'a [f32],
    d: usize,
    eps: f32,
}

impl WithSimd for ParameterBlock<'_> {
    type Output = [Vec<f32>; 2];

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) -> Self::Output {
        let (mut d_gamma, mut d_beta) = (vec![0.0; self.d], vec![0.0; self.d]);
        for (x, grad) in self
            .x
            .chunks_exact(self.d)
            .zip(self.grad.chunks_exact(self.d))
        {
            let (mean, inverse) = moments(x, self.eps);
            let totals = d_gamma.iter_mut().zip(&mut d_beta);
            for ((x, g), (d_gamma, d_beta)) in x.iter().zip(grad).zip(totals) {
                *d_gamma += g * ((x - mean) * inverse);
                *d_beta += g;
            }
        }
        [d_gamma, d_beta]
    }
}
