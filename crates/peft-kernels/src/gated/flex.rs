//! Gates fused on flex.
//!
//! ```text
//! dgate = g up a'(gate),  dup = g a(gate)
//! SiLU        s = sigmoid(x),    a'(x) = s (1 + x (1 - s))
//! GELU, tanh  s = sigmoid(2 u),  a'(x) = s (1 + x (1 - s) 2 u')
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

use super::Gate;
use crate::flex::{CHUNK, Kernel, contiguous, transform, values};
use crate::fused::fused;
use crate::gelu::flex::tanh_phi;
use crate::kept::{Kept, Recipe, was_made};
use crate::math::{mul_add, sigmoid};
use crate::profile;
use peft_bf16::zeros;

type Inputs<const D: usize> = (Tensor<D>, Tensor<D>);

/// The fused gate, or the tensors back when the fused path does not apply to both.
pub(super) fn gated<const D: usize>(
    gate: Tensor<D>,
    up: Tensor<D>,
    by: Gate,
) -> Result<Tensor<D>, Inputs<D>> {
    let (gate, up) = fused((gate, up))?;
    Ok(Tensor::from_dispatch(Dispatch::fused_gated(gate, up, by)))
}

#[backend_extension(Autodiff, Flex)]
pub(super) trait GatedOps: Backend {
    fn fused_gated(gate: FloatTensor<Self>, up: FloatTensor<Self>, by: Gate) -> FloatTensor<Self>;
}

impl GatedOps for Flex {
    fn fused_gated(gate: FlexTensor, up: FlexTensor, by: Gate) -> FlexTensor {
        let up = contiguous(up);
        match by {
            Gate::Silu => transform(gate, 1, &Forward(values(&up), Silu)),
            Gate::GeluTanh => transform(gate, 1, &Forward(values(&up), GeluTanh)),
        }
    }
}

impl<C: CheckpointStrategy> GatedOps for Autodiff<Flex, C> {
    fn fused_gated(gate: FloatTensor<Self>, up: FloatTensor<Self>, by: Gate) -> FloatTensor<Self> {
        let (gate, gate_node) = gate.into_parts();
        let (up, up_node) = up.into_parts();
        let step = GatedStep(by).prepare::<C>([gate_node, up_node]);
        match step.compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let (gate, up) = (contiguous(gate), contiguous(up));
                let kept = [Kept::new(gate.clone()), Kept::new(up.clone())];
                let y = Flex::fused_gated(gate, up, by);
                was_made(&y, Again(kept.clone(), by));
                prep.finish(kept, y)
            }
            OpsKind::UnTracked(prep) => prep.finish(Flex::fused_gated(gate, up, by)),
        }
    }
}

/// The output of kept inputs.
#[derive(Debug)]
struct Again([Kept; 2], Gate);

impl Recipe for Again {
    fn make(&self) -> FlexTensor {
        let [gate, up] = self.0.each_ref().map(Kept::tensor);
        Flex::fused_gated(gate, up, self.1)
    }
}

#[derive(Debug)]
struct GatedStep(Gate);

impl Backward<Flex, 2> for GatedStep {
    type State = [Kept; 2];

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [gate, up] = ops.state.map(|kept| kept.tensor());
        let grad = contiguous(grads.consume::<Flex>(&ops.node));
        let (gate, up) = (values(&gate), values(&up));
        let gradients = match self.0 {
            Gate::Silu => derivatives(grad, gate, up, Silu),
            Gate::GeluTanh => derivatives(grad, gate, up, GeluTanh),
        };
        for (node, gradient) in ops.parents.iter().zip(gradients) {
            if let Some(node) = node {
                grads.register::<Flex>(node.id, gradient);
            }
        }
    }
}

/// A nonlinearity `a(x) = x s`, with `a'(x) = s m`.
trait Nonlinearity: Copy + Sync {
    /// `(s, m)`.
    fn parts<S: Simd>(self, x: f32) -> (f32, f32);
}

#[derive(Clone, Copy)]
struct Silu;

impl Nonlinearity for Silu {
    #[inline(always)]
    fn parts<S: Simd>(self, x: f32) -> (f32, f32) {
        let (s, rest) = sigmoid::<S>(x);
        (s, mul_add::<S>(x, rest, 1.0))
    }
}

#[derive(Clone, Copy)]
struct GeluTanh;

impl Nonlinearity for GeluTanh {
    #[inline(always)]
    fn parts<S: Simd>(self, x: f32) -> (f32, f32) {
        let (s, rest, slope) = tanh_phi::<S>(x);
        (s, mul_add::<S>(x * rest, slope, 1.0))
    }
}

struct Forward<'a, N>(&'a [f32], N);

impl<N: Nonlinearity> Kernel for Forward<'_, N> {
    const NAME: &'static str = "gated";
    const STREAMS: usize = 3;

    #[inline(always)]
    fn run<S: Simd>(&self, start: usize, chunk: &mut [f32]) {
        let up = &self.0[start..start + chunk.len()];
        for (gate, up) in chunk.iter_mut().zip(up) {
            *gate *= self.1.parts::<S>(*gate).0 * up;
        }
    }
}

/// `[dgate, dup]`, the first in the place of the gradient where nobody else holds it.
fn derivatives(
    mut grad: FlexTensor,
    gate: &[f32],
    up: &[f32],
    by: impl Nonlinearity,
) -> [FlexTensor; 2] {
    let shape = grad.layout().clone();
    let tensor =
        |values: Vec<f32>, dtype| FlexTensor::new(Bytes::from_elems(values), shape.clone(), dtype);
    let dtype = burn::backend::DType::F32;
    let _call = profile::call("gated backward", &[], 5 * gate.len());
    let mut d_up = zeros(gate.len());
    let d_gate = if let Some(own) = grad.try_storage_mut::<f32>() {
        fill(own, &mut d_up, gate, up, by);
        grad
    } else {
        let mut own = values(&grad).to_vec();
        fill(&mut own, &mut d_up, gate, up, by);
        tensor(own, dtype)
    };
    [d_gate, tensor(d_up, dtype)]
}

/// Turns the gradient of the output into that of the gate, and writes that of `up`.
fn fill(grad: &mut [f32], d_up: &mut [f32], gate: &[f32], up: &[f32], by: impl Nonlinearity) {
    let outputs = grad.par_chunks_mut(CHUNK).zip(d_up.par_chunks_mut(CHUNK));
    let inputs = gate.par_chunks(CHUNK).zip(up.par_chunks(CHUNK));
    outputs.zip(inputs).for_each(|((grad, d_up), (gate, up))| {
        Arch::new().dispatch(Derivatives {
            grad,
            d_up,
            gate,
            up,
            by,
        });
    });
}

struct Derivatives<'a, N> {
    grad: &'a mut [f32],
    d_up: &'a mut [f32],
    gate: &'a [f32],
    up: &'a [f32],
    by: N,
}

impl<N: Nonlinearity> WithSimd for Derivatives<'_, N> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        let outputs = self.grad.iter_mut().zip(self.d_up);
        for ((grad, d_up), (gate, up)) in outputs.zip(self.gate.iter().zip(self.up)) {
            let (s, m) = self.by.parts::<S>(*gate);
            *d_up = *grad * gate * s;
            *grad *= up * s * m;
        }
    }
}
