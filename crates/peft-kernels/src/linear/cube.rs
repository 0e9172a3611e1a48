//! Products in CubeCL: with packed weights, and with a narrow matrix, those of low-rank pairs. Burn's own product makes the output and the gradient of the input; the
//! gradient of the narrow matrix is a sum over all rows of few numbers, which a product that divides its output alone leaves to a few cubes.
//!
//! ```text
//! dW_kj = sum_i x_ik g_ij:   parts of the rows first, a cube for each part and some columns; then the parts
//! ```

mod kernels;
mod packed;

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Cube, Dispatch, TensorMetadata, backend_extension};
use burn::tensor::{FloatDType, Tensor};
use burn_fusion::custom::TensorSpec;

use super::with_bias;
use crate::compute::rounding;
use crate::cube::{burn, on_cube};
use crate::packed::Factor;

type Inputs = (Tensor<2>, Factor, Option<Tensor<1>>);

/// Width up to which a matrix is narrow: a unit sums as many numbers at once.
const NARROW: usize = 64;

/// The product, or the tensors back when it is with no packed weight and no narrow matrix, or the kernels do not apply.
pub(super) fn linear(
    x: Tensor<2>,
    weight: Factor,
    bias: Option<Tensor<1>>,
) -> Result<Tensor<2>, Inputs> {
    let [d_in, d_out] = weight.dims();
    let weight = match weight {
        Factor::Dense(weight) => weight,
        Factor::Packed(weight) => {
            return match packed::product(x, &weight) {
                Ok(y) => Ok(with_bias(y, bias)),
                Err(x) => Err((x, Factor::Packed(weight), bias)),
            };
        }
    };
    if let Some(half) = rounding(&x).filter(|_| weight.dtype() == x.dtype()) {
        return Ok(with_bias(rounded(x, weight, half), bias));
    }
    if bias.is_some() || d_in.min(d_out) > NARROW || d_in * d_out == 0 {
        return Err((x, Factor::Dense(weight), bias));
    }
    match on_cube(&x.clone(), (x, weight)) {
        Ok((x, weight)) => Ok(Tensor::from_dispatch(Dispatch::cube_narrow(x, weight))),
        Err((x, weight)) => Err((x, Factor::Dense(weight), bias)),
    }
}

/// The product of rounded factors, whose sums are f32; outputs and gradients are rounded too, as by `torch.autocast`.
pub(super) fn rounded(x: Tensor<2>, weight: Tensor<2>, half: FloatDType) -> Tensor<2> {
    super::product(x.cast(half), weight.cast(half)).cast(FloatDType::F32)
}

#[backend_extension(Autodiff, Cube)]
pub(super) trait NarrowOps: Backend {
    fn cube_narrow(x: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self>;
}

#[backend_extension(Cube, Fusion)]
pub(super) trait NarrowKernels: Backend {
    /// `narrow^T wide`, of `[rows, few]` and `[rows, many]`, or that turned.
    #[fusion(meta = |narrow, wide, turned| product_of(narrow, wide, *turned))]
    fn narrow_gradient(
        narrow: FloatTensor<Self>,
        wide: FloatTensor<Self>,
        turned: bool,
    ) -> FloatTensor<Self>;
}

fn product_of(narrow: &TensorSpec, wide: &TensorSpec, turned: bool) -> TensorSpec {
    let (few, many) = (narrow.shape[1], wide.shape[1]);
    let shape = if turned { [many, few] } else { [few, many] };
    TensorSpec::new(shape.into(), wide.dtype)
}

impl NarrowOps for Cube {
    fn cube_narrow(x: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::float_matmul(x, weight)
    }
}

impl<B: NarrowKernels, C: CheckpointStrategy> NarrowOps for Autodiff<B, C> {
    fn cube_narrow(x: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self> {
        let (x_tracked, weight_tracked) = (x.is_tracked(), weight.is_tracked());
        let (x, x_node) = x.into_parts();
        let (weight, weight_node) = weight.into_parts();
        let step = NarrowStep.prepare::<C>([x_node, weight_node]);
        match step.compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let y = B::float_matmul(x.clone(), weight.clone());
                let saved = (weight_tracked.then_some(x), x_tracked.then_some(weight));
                prep.finish(saved, y)
            }
            OpsKind::UnTracked(prep) => prep.finish(B::float_matmul(x, weight)),
        }
    }
}

#[derive(Debug)]
struct NarrowStep;

impl<B: NarrowKernels> Backward<B, 2> for NarrowStep {
    /// The input and the matrix, where the gradients that are wanted need them.
    type State = (Option<FloatTensor<B>>, Option<FloatTensor<B>>);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (x, weight) = ops.state;
        let grad = grads.consume::<B>(&ops.node);
        let [x_node, weight_node] = ops.parents;
        if let (Some(node), Some(weight)) = (x_node, weight) {
            let d_x = B::float_matmul(grad.clone(), B::float_transpose(weight));
            grads.register::<B>(node.id, d_x);
        }
        if let (Some(node), Some(x)) = (weight_node, x) {
            let d_weight = match x.shape()[1] <= grad.shape()[1] {
                true => B::narrow_gradient(x, grad, false),
                false => B::narrow_gradient(grad, x, true),
            };
            grads.register::<B>(node.id, d_weight);
        }
    }
}
