//! Cross entropy in CubeCL: a cube for a row, which reads it once. The backward keeps the scores themselves, which somebody made and nobody
//! else needs, with two numbers for each row, and writes the gradient in their place.
//!
//! ```text
//! p = softmax(x),   dx_ij = g_i (p_ij - [j = t_i])
//! ```

mod kernels;

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Autodiff, Backend, Cube, DType, Dispatch, DispatchTensor, backend_extension};
use burn::tensor::{Device, Int, Tensor, TensorData};
use burn_fusion::custom::TensorSpec;

use crate::cube::{burn, on_cube};

/// The fused loss, or the scores back when the kernels do not apply to them.
pub(super) fn cross_entropy(scores: Tensor<2>, targets: &[u32]) -> Result<Tensor<1>, Tensor<2>> {
    let device = scores.device();
    let scores = on_cube(&scores.clone(), scores)?;
    let targets = on_device(targets, &device);
    Ok(Tensor::from_dispatch(Dispatch::cube_cross_entropy(
        scores, targets,
    )))
}

/// The class of every row.
pub(crate) fn on_device(targets: &[u32], device: &Device) -> DispatchTensor {
    let targets: Vec<i32> = targets.iter().map(|target| *target as i32).collect();
    let rows = targets.len();
    Tensor::<1, Int>::from_data(TensorData::new(targets, [rows]), device).into_dispatch()
}

#[backend_extension(Autodiff, Cube)]
pub(super) trait CrossEntropyOps: Backend {
    fn cube_cross_entropy(scores: FloatTensor<Self>, targets: IntTensor<Self>)
    -> FloatTensor<Self>;
}

#[backend_extension(Cube, Fusion)]
pub(crate) trait CrossEntropyKernels: Backend {
    /// The loss of every row; its largest score and one over the sum of exponentials.
    #[fusion(meta = |scores, _targets| of_rows(scores))]
    fn cross_entropy_forward(
        scores: FloatTensor<Self>,
        targets: IntTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    #[fusion(dtype = scores, shape = scores)]
    fn cross_entropy_backward(
        grad: FloatTensor<Self>,
        scores: FloatTensor<Self>,
        targets: IntTensor<Self>,
        rows: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
}

fn of_rows(scores: &TensorSpec) -> (TensorSpec, TensorSpec) {
    let rows = scores.shape[0];
    (
        TensorSpec::new([rows].into(), scores.dtype),
        TensorSpec::new([rows, 2].into(), DType::F32),
    )
}

impl CrossEntropyOps for Cube {
    fn cube_cross_entropy(
        scores: FloatTensor<Self>,
        targets: IntTensor<Self>,
    ) -> FloatTensor<Self> {
        Self::cross_entropy_forward(scores, targets).0
    }
}

impl<B: CrossEntropyKernels, C: CheckpointStrategy> CrossEntropyOps for Autodiff<B, C> {
    fn cube_cross_entropy(
        scores: FloatTensor<Self>,
        targets: IntTensor<Self>,
    ) -> FloatTensor<Self> {
        let (scores, node) = scores.into_parts();
        let (losses, rows) = B::cross_entropy_forward(scores.clone(), targets.clone());
        let step = CrossEntropyStep.prepare::<C>([node]);
        match step.compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((scores, targets, rows), losses),
            OpsKind::UnTracked(prep) => prep.finish(losses),
        }
    }
}

#[derive(Debug)]
struct CrossEntropyStep;

impl<B: CrossEntropyKernels> Backward<B, 1> for CrossEntropyStep {
    type State = (FloatTensor<B>, IntTensor<B>, FloatTensor<B>);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (scores, targets, rows) = ops.state;
        let grad = grads.consume::<B>(&ops.node);
        if let [Some(node)] = ops.parents {
            let d_scores = B::cross_entropy_backward(grad, scores, targets, rows);
            grads.register::<B>(node.id, d_scores);
        }
    }
}
