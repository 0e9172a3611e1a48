//! Root mean square normalisation in CubeCL: a cube for a row; sums over the rows in two stages, whose order does not depend on the device.
//!
//! ```text
//! r = 1 / sqrt(mean(x^2) + eps)
//! dx = r (g gamma - x r^2 mean(g gamma x)),  dgamma = sum_rows g x r
//! ```
//! Beside `x` the backward keeps `r`, a number for each row.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Cube, DType, Dispatch, backend_extension};
use burn::tensor::Tensor;
use burn_cubecl::CubeBackend;
use burn_cubecl::tensor::CubeTensor;
use burn_fusion::custom::TensorSpec;

mod kernels;

use crate::cube::{burn, on_cube};

type Inputs<const D: usize> = (Tensor<D>, Tensor<1>);

/// The fused norm, or the tensors back when the kernels do not apply to both.
pub(super) fn rms_norm<const D: usize>(
    x: Tensor<D>,
    gamma: Tensor<1>,
    eps: f64,
) -> Result<Tensor<D>, Inputs<D>> {
    let (x, gamma) = on_cube(&x.clone(), (x, gamma))?;
    let y = Dispatch::cube_rms_norm(x, gamma, eps as f32);
    Ok(Tensor::from_dispatch(y))
}

#[backend_extension(Autodiff, Cube)]
pub(super) trait RmsNormOps: Backend {
    fn cube_rms_norm(x: FloatTensor<Self>, gamma: FloatTensor<Self>, eps: f32)
    -> FloatTensor<Self>;
}

#[backend_extension(Cube, Fusion)]
pub(super) trait RmsNormKernels: Backend {
    /// The output, and `r` of every row.
    #[fusion(meta = |x, _gamma, _eps| (x.clone(), a_number_per_row(x)))]
    fn rms_norm_forward(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        eps: f32,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    #[fusion(dtype = x, shape = x)]
    fn rms_norm_d_input(
        grad: FloatTensor<Self>,
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        roots: FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    #[fusion(dtype = gamma, shape = gamma)]
    fn rms_norm_d_gamma(
        grad: FloatTensor<Self>,
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        roots: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
}

fn a_number_per_row(x: &TensorSpec) -> TensorSpec {
    let width = x.shape.iter().last().copied().unwrap_or(1);
    TensorSpec::new([x.shape.num_elements() / width.max(1)].into(), DType::F32)
}

impl RmsNormOps for Cube {
    fn cube_rms_norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        eps: f32,
    ) -> FloatTensor<Self> {
        Self::rms_norm_forward(x, gamma, eps).0
    }
}

impl<B: RmsNormKernels, C: CheckpointStrategy> RmsNormOps for Autodiff<B, C> {
    fn cube_rms_norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        eps: f32,
    ) -> FloatTensor<Self> {
        let (x, x_node) = x.into_parts();
        let (gamma, gamma_node) = gamma.into_parts();
        let step = RmsNormStep.prepare::<C>([x_node, gamma_node]);
        let (y, roots) = B::rms_norm_forward(x.clone(), gamma.clone(), eps);
        match step.compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish([x, gamma, roots], y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }
}

#[derive(Debug)]
struct RmsNormStep;

impl<B: RmsNormKernels> Backward<B, 2> for RmsNormStep {
    /// `x`, `gamma` and `r` of every row.
    type State = [FloatTensor<B>; 3];

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [x, gamma, roots] = ops.state;
        let grad = grads.consume::<B>(&ops.node);
        let [x_node, gamma_node] = ops.parents;
        if let Some(node) = gamma_node {
            let (grad, x) = (grad.clone(), x.clone());
            let d_gamma = B::rms_norm_d_gamma(grad, x, gamma.clone(), roots.clone());
            grads.register::<B>(node.id, d_gamma);
        }
        if let Some(node) = x_node {
            grads.register::<B>(node.id, B::rms_norm_d_input(grad, x, gamma, roots));
        }
    }
}

impl RmsNormKernels for CubeBackend {
    fn rms_norm_forward(x: CubeTensor, gamma: CubeTensor, eps: f32) -> (CubeTensor, CubeTensor) {
        kernels::forward(x, gamma, eps)
    }

    fn rms_norm_d_input(
        grad: CubeTensor,
        x: CubeTensor,
        gamma: CubeTensor,
        roots: CubeTensor,
    ) -> CubeTensor {
        kernels::d_input(grad, x, gamma, roots)
    }

    fn rms_norm_d_gamma(
        grad: CubeTensor,
        x: CubeTensor,
        gamma: CubeTensor,
        roots: CubeTensor,
    ) -> CubeTensor {
        kernels::d_gamma(grad, x, gamma, roots)
    }
}
