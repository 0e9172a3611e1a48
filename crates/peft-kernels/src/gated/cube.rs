//! SwiGLU's gate in CubeCL, a unit for a few values.
//!
//! ```text
//! s = 1 / (1 + e^-gate),  dgate = g up s (1 + gate (1 - s)),  dup = g gate s
//! ```

mod kernels;

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Cube, Dispatch, backend_extension};
use burn::tensor::Tensor;

use crate::cube::{burn, on_cube};

type Inputs<const D: usize> = (Tensor<D>, Tensor<D>);

/// The fused gate, or the tensors back when the kernels do not apply to both.
pub(super) fn silu_mul<const D: usize>(
    gate: Tensor<D>,
    up: Tensor<D>,
) -> Result<Tensor<D>, Inputs<D>> {
    let (gate, up) = on_cube(&gate.clone(), (gate, up))?;
    Ok(Tensor::from_dispatch(Dispatch::cube_silu_mul(gate, up)))
}

#[backend_extension(Autodiff, Cube)]
pub(super) trait SiluMulOps: Backend {
    fn cube_silu_mul(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self>;
}

#[backend_extension(Cube, Fusion)]
pub(super) trait SiluMulKernels: Backend {
    #[fusion(dtype = gate, shape = gate)]
    fn silu_mul_forward(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self>;

    /// The gradients of gate and up.
    #[fusion(meta = |_grad, gate, up| (gate.clone(), up.clone()))]
    fn silu_mul_backward(
        grad: FloatTensor<Self>,
        gate: FloatTensor<Self>,
        up: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}

impl SiluMulOps for Cube {
    fn cube_silu_mul(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::silu_mul_forward(gate, up)
    }
}

impl<B: SiluMulKernels, C: CheckpointStrategy> SiluMulOps for Autodiff<B, C> {
    fn cube_silu_mul(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self> {
        let (gate, gate_node) = gate.into_parts();
        let (up, up_node) = up.into_parts();
        let step = SiluMulStep.prepare::<C>([gate_node, up_node]);
        match step.compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let y = B::silu_mul_forward(gate.clone(), up.clone());
                prep.finish([gate, up], y)
            }
            OpsKind::UnTracked(prep) => prep.finish(B::silu_mul_forward(gate, up)),
        }
    }
}

#[derive(Debug)]
struct SiluMulStep;

impl<B: SiluMulKernels> Backward<B, 2> for SiluMulStep {
    type State = [FloatTensor<B>; 2];

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [gate, up] = ops.state;
        let grad = grads.consume::<B>(&ops.node);
        let (d_gate, d_up) = B::silu_mul_backward(grad, gate, up);
        for (node, gradient) in ops.parents.into_iter().zip([d_gate, d_up]) {
            if let Some(node) = node {
                grads.register::<B>(node.id, gradient);
            }
        }
    }
}
