//! SwiGLU's gate fused on flex.
//!
//! ```text
//! s = 1 / (1 + e^-gate),  dgate = g up s (1 + gate (1 - s)),  dup = g gate s
//! ```

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::{Bytes, Tensor};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::flex::{CHUNK, Kernel, contiguous, transform, values};
use crate::fused::fused;
use crate::kept::Kept;
use crate::math::{mul_add, sigmoid};
use crate::profile;

type Inputs<const D: usize> = (Tensor<D>, Tensor<D>);

/// The fused gate, or the tensors back when the fused path does not apply to both.
pub(super) fn silu_mul<const D: usize>(
    gate: Tensor<D>,
    up: Tensor<D>,
) -> Result<Tensor<D>, Inputs<D>> {
    let (gate, up) = fused((gate, up))?;
    Ok(Tensor::from_dispatch(Dispatch::fused_silu_mul(gate, up)))
}

#[backend_extension(Autodiff, Flex)]
pub(super) trait SiluMulOps: Backend {
    fn fused_silu_mul(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self>;
}

impl SiluMulOps for Flex {
    fn fused_silu_mul(gate: FlexTensor, up: FlexTensor) -> FlexTensor {
        let up = contiguous(up);
        transform(gate, 1, &Forward(values(&up)))
    }
}

impl<C: CheckpointStrategy> SiluMulOps for Autodiff<Flex, C> {
    fn fused_silu_mul(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self> {
        let (gate, gate_node) = gate.into_parts();
        let (up, up_node) = up.into_parts();
        let step = SiluMulStep.prepare::<C>([gate_node, up_node]);
        match step.compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let (gate, up) = (contiguous(gate), contiguous(up));
                let kept = [Kept::new(gate.clone()), Kept::new(up.clone())];
                prep.finish(kept, Flex::fused_silu_mul(gate, up))
            }
            OpsKind::UnTracked(prep) => prep.finish(Flex::fused_silu_mul(gate, up)),
        }
    }
}

#[derive(Debug)]
struct SiluMulStep;

impl Backward<Flex, 2> for SiluMulStep {
    type State = [Kept; 2];

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [gate, up] = ops.state.map(|kept| kept.tensor());
        let grad = contiguous(grads.consume::<Flex>(&ops.node));
        let gradients = derivatives(grad, values(&gate), values(&up));
        for (node, gradient) in ops.parents.iter().zip(gradients) {
            if let Some(node) = node {
                grads.register::<Flex>(node.id, gradient);
            }
        }
    }
}

struct Forward<'a>(&'a [f32]);

impl Kernel for Forward<'_> {
    const NAME: &'static str = "silu mul";
    const STREAMS: usize = 3;

    #[inline(always)]
    fn run<S: Simd>(&self, start: usize, chunk: &mut [f32]) {
        let up = &self.0[start..start + chunk.len()];
        for (gate, up) in chunk.iter_mut().zip(up) {
            *gate *= sigmoid::<S>(*gate).0 * up;
        }
    }
}

/// `[dgate, dup]`, the first in the place of the gradient where nobody else holds it.
fn derivatives(mut grad: FlexTensor, gate: &[f32], up: &[f32]) -> [FlexTensor; 2] {
    let shape = grad.layout().clone();
    let tensor =
        |values: Vec<f32>, dtype| FlexTensor::new(Bytes::from_elems(values), shape.clone(), dtype);
    let dtype = burn::backend::DType::F32;
    let _call = profile::call("silu mul backward", &[], 5 * gate.len());
    let mut d_up = vec![0.0_f32; gate.len()];
    let d_gate = if let Some(own) = grad.try_storage_mut::<f32>() {
        fill(own, &mut d_up, gate, up);
        grad
    } else {
        let mut own = values(&grad).to_vec();
        fill(&mut own, &mut d_up, gate, up);
        tensor(own, dtype)
    };
    [d_gate, tensor(d_up, dtype)]
}

/// Turns the gradient of the output into that of the gate, and writes that of `up`.
fn fill(grad: &mut [f32], d_up: &mut [f32], gate: &[f32], up: &[f32]) {
    let outputs = grad.par_chunks_mut(CHUNK).zip(d_up.par_chunks_mut(CHUNK));
    let inputs = gate.par_chunks(CHUNK).zip(up.par_chunks(CHUNK));
    outputs.zip(inputs).for_each(|((grad, d_up), (gate, up))| {
        Arch::new().dispatch(Derivatives {
            grad,
            d_up,
            gate,
            up,
        });
    });
}

struct Derivatives<'a> {
    grad: &'a mut [f32],
    d_up: &'a mut [f32],
    gate: &'a [f32],
    up: &'a [f32],
}

impl WithSimd for Derivatives<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        let outputs = self.grad.iter_mut().zip(self.d_up);
        for ((grad, d_up), (gate, up)) in outputs.zip(self.gate.iter().zip(self.up)) {
            let (s, rest) = sigmoid::<S>(*gate);
            *d_up = *grad * gate * s;
            *grad *= up * s * mul_add::<S>(*gate, rest, 1.0);
        }
    }
}
