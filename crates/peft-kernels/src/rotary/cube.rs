//! Rotary position embedding in CubeCL, a unit for a pair; the backward is the rotation by the opposite angle.

mod kernels;

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Cube, Dispatch, backend_extension};
use burn::tensor::Tensor;

use crate::cube::{burn, on_cube};

type Inputs = (Tensor<4>, Tensor<4>, Tensor<4>);

/// The fused rotation, or the tensors back when the kernel does not apply to all of them.
pub(super) fn rotary(x: Tensor<4>, cos: Tensor<4>, sin: Tensor<4>) -> Result<Tensor<4>, Inputs> {
    let (x, cos, sin) = on_cube(&x.clone(), (x, cos, sin))?;
    Ok(Tensor::from_dispatch(Dispatch::cube_rotary(x, cos, sin)))
}

#[backend_extension(Autodiff, Cube)]
pub(super) trait RotaryOps: Backend {
    fn cube_rotary(
        x: FloatTensor<Self>,
        cos: FloatTensor<Self>,
        sin: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
}

#[backend_extension(Cube, Fusion)]
pub(super) trait RotaryKernels: Backend {
    /// Turns every pair by its angle times `sign`.
    #[fusion(dtype = x, shape = x)]
    fn rotary_turn(
        x: FloatTensor<Self>,
        cos: FloatTensor<Self>,
        sin: FloatTensor<Self>,
        sign: f32,
    ) -> FloatTensor<Self>;
}

impl RotaryOps for Cube {
    fn cube_rotary(
        x: FloatTensor<Self>,
        cos: FloatTensor<Self>,
        sin: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        Self::rotary_turn(x, cos, sin, 1.0)
    }
}

impl<B: RotaryKernels, C: CheckpointStrategy> RotaryOps for Autodiff<B, C> {
    fn cube_rotary(
        x: FloatTensor<Self>,
        cos: FloatTensor<Self>,
        sin: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        let (cos, sin) = (cos.into_primitive(), sin.into_primitive());
        let y = B::rotary_turn(x, cos.clone(), sin.clone(), 1.0);
        match RotaryStep.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish([cos, sin], y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }
}

#[derive(Debug)]
struct RotaryStep;

impl<B: RotaryKernels> Backward<B, 1> for RotaryStep {
    type State = [FloatTensor<B>; 2];

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [cos, sin] = ops.state;
        let grad = grads.consume::<B>(&ops.node);
        if let [Some(node)] = ops.parents {
            grads.register::<B>(node.id, B::rotary_turn(grad, cos, sin, -1.0));
        }
    }
}
