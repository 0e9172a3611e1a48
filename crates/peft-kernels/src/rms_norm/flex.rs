//! Root mean square normalisation fused on flex.
//!
//! ```text
//! r = 1 / sqrt(mean(x^2) + eps),  n = x r
//! dx = r (g gamma - n mean(g gamma n)),  dgamma = sum_rows g n
//! ```
//!
//! Of a norm that is trained, the input is kept and `r` is computed again. Of a frozen one, the output and `r` are kept, and `n = y / gamma`:
//! layers that read the output and are adapted keep it anyway, so that the norm keeps nothing of its own.

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
use crate::math::{sum, sum_pairs};
use crate::row_sums::{Row, row_sums};
use output::{Output, recoverable};

type Inputs<const D: usize> = (Tensor<D>, Tensor<1>);

/// The fused norm, or the tensors back when the fused path does not apply to both.
pub(super) fn rms_norm<const D: usize>(
    x: Tensor<D>,
    gamma: Tensor<1>,
    eps: f64,
) -> Result<Tensor<D>, Inputs<D>> {
    let (x, gamma) = fused((x, gamma))?;
    let y = Dispatch::fused_rms_norm(x, gamma, eps as f32);
    Ok(Tensor::from_dispatch(y))
}

#[backend_extension(Autodiff, Flex)]
pub(super) trait RmsNormOps: Backend {
    fn fused_rms_norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        eps: f32,
    ) -> FloatTensor<Self>;
}

impl RmsNormOps for Flex {
    fn fused_rms_norm(x: FlexTensor, gamma: FlexTensor, eps: f32) -> FlexTensor {
        let gamma = contiguous(gamma);
        let gamma = values(&gamma);
        transform(x, gamma.len().max(1), &Forward { gamma, eps })
    }
}

impl<C: CheckpointStrategy> RmsNormOps for Autodiff<Flex, C> {
    fn fused_rms_norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        eps: f32,
    ) -> FloatTensor<Self> {
        let is_frozen = !gamma.is_tracked();
        let (x, x_node) = x.into_parts();
        let (gamma, gamma_node) = gamma.into_parts();
        let step = RmsNormStep.prepare::<C>([x_node, gamma_node]);
        match step.compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let gamma = contiguous(gamma);
                if is_frozen && recoverable(values(&gamma)) {
                    let (y, output) = Output::new(x, gamma, eps);
                    return prep.finish(Saved::Output(output), y);
                }
                let x = contiguous(x);
                let state = Saved::Input {
                    x: Kept::new(x.clone()),
                    gamma: gamma.clone(),
                    eps,
                };
                let y = Flex::fused_rms_norm(x, gamma, eps);
                prep.finish(state, y)
            }
            OpsKind::UnTracked(prep) => prep.finish(Flex::fused_rms_norm(x, gamma, eps)),
        }
    }
}

/// What the backward needs.
#[derive(Clone, Debug)]
enum Saved {
    Input {
        x: Kept,
        gamma: FlexTensor,
        eps: f32,
    },
    /// Of a frozen norm.
    Output(Output),
}

#[derive(Debug)]
struct RmsNormStep;

impl Backward<Flex, 2> for RmsNormStep {
    type State = Saved;

    fn backward(self, ops: Ops<Saved, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = contiguous(grads.consume::<Flex>(&ops.node));
        let [x_node, gamma_node] = ops.parents;
        let (x, gamma, eps) = match &ops.state {
            Saved::Input { x, gamma, eps } => (&x.tensor(), gamma, eps),
            Saved::Output(output) => {
                if let Some(node) = x_node {
                    grads.register::<Flex>(node.id, output.backward(grad));
                }
                return;
            }
        };
        if let Some(node) = gamma_node {
            let [d_gamma] = row_sums(
                values(x),
                values(&grad),
                gamma,
                &ParameterSums { eps: *eps },
            );
            grads.register::<Flex>(node.id, d_gamma);
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

/// `1 / sqrt(mean(x^2) + eps)` of a row.
#[inline(always)]
fn inverse(row: &[f32], eps: f32) -> f32 {
    1.0 / (sum(row, |x| x * x) / row.len() as f32 + eps).sqrt()
}

struct Forward<'a> {
    gamma: &'a [f32],
    eps: f32,
}

impl Kernel for Forward<'_> {
    const NAME: &'static str = "rms norm";

    #[inline(always)]
    fn run<S: Simd>(&self, _start: usize, chunk: &mut [f32]) {
        for row in chunk.chunks_exact_mut(self.gamma.len()) {
            let r = inverse(row, self.eps);
            for (x, gamma) in row.iter_mut().zip(self.gamma) {
                *x *= r * gamma;
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
    const NAME: &'static str = "rms norm backward";
    const STREAMS: usize = 3;

    #[inline(always)]
    fn run<S: Simd>(&self, start: usize, chunk: &mut [f32]) {
        let d = self.gamma.len();
        let inputs = &self.inputs[start..start + chunk.len()];
        for (grad, x) in chunk.chunks_exact_mut(d).zip(inputs.chunks_exact(d)) {
            let r = inverse(x, self.eps);
            for (g, gamma) in grad.iter_mut().zip(self.gamma) {
                *g *= gamma;
            }
            let along = r * r / d as f32 * sum_pairs(grad, x, |g, x| g * x);
            for (g, x) in grad.iter_mut().zip(x) {
                *g = r * (*g - x * along);
            }
        }
    }
}

/// `dgamma`.
struct ParameterSums {
    eps: f32,
}

impl Row<1> for ParameterSums {
    #[inline(always)]
    fn add<S: Simd>(&self, x: &[f32], grad: &[f32], [total]: &mut [Vec<f32>; 1]) {
        let r = inverse(x, self.eps);
        for ((total, x), g) in total.iter_mut().zip(x).zip(grad) {
            *total += g * x * r;
        }
    }
}
