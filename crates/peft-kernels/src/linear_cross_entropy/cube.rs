//! The cross entropy of an output layer on the devices of CubeCL, a block of rows after the other: products of Burn's, and the kernels of
//! [`cross_entropy`](crate::cross_entropy()), which write the gradient of a block's scores in their place.
//!
//! ```text
//! p = softmax(x W),   dx_i = g_i (p_i - e_t) W^T
//! ```
//!
//! `(p_i - e_t) W^T` is computed with the loss, while the scores are there.

use std::ops::Range;

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, unary};
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{
    Autodiff, Backend, Cube, DType, Dispatch, Slice, TensorMetadata, backend_extension,
};
use burn::tensor::Tensor;

use crate::compute::rounding;
use crate::cross_entropy::cube::{CrossEntropyKernels, on_device};
use crate::cube::{cast, on_cube};
use crate::packed::Factor;
use crate::profile;

/// The fused loss, or the inputs back when it does not apply to all of them.
pub(super) fn linear_cross_entropy(
    x: Tensor<2>,
    weight: Factor,
    targets: &[u32],
    cap: Option<f64>,
) -> Result<Tensor<1>, (Tensor<2>, Factor)> {
    if weight.trains() {
        return Err((x, weight));
    }
    let device = x.device();
    let weight = weight.dense(&device);
    let (x, weight) = match rounding(&x).filter(|_| weight.dtype() == x.dtype()) {
        Some(half) => (x.cast(half), weight.cast(half)),
        // A weight in half precision multiplies in its own type.
        None if weight.dtype() != x.dtype() => {
            let dtype = weight.dtype();
            (x.cast(dtype), weight)
        }
        None => (x, weight),
    };
    let (x, weight) = match on_cube(&x.clone(), (x, weight)) {
        Ok(inputs) => inputs,
        Err((x, weight)) => return Err((x, Factor::Dense(weight))),
    };
    let losses =
        Dispatch::cube_linear_cross_entropy(x, weight, on_device(targets, &device), How { cap });
    Ok(Tensor::from_dispatch(losses))
}

/// What is no tensor.
#[derive(Debug, Clone, Copy)]
pub(super) struct How {
    /// Bound of the scores.
    cap: Option<f64>,
}

#[backend_extension(Autodiff, Cube)]
pub(super) trait LinearCrossEntropyOps: Backend {
    fn cube_linear_cross_entropy(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        targets: IntTensor<Self>,
        how: How,
    ) -> FloatTensor<Self>;
}

impl LinearCrossEntropyOps for Cube {
    fn cube_linear_cross_entropy(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        targets: IntTensor<Self>,
        how: How,
    ) -> FloatTensor<Self> {
        by_blocks::<Self>(x, weight, targets, how, false).0
    }
}

impl<B: CrossEntropyKernels, C: CheckpointStrategy> LinearCrossEntropyOps for Autodiff<B, C> {
    fn cube_linear_cross_entropy(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        targets: IntTensor<Self>,
        how: How,
    ) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        let weight = weight.into_primitive();
        let step = LinearCrossEntropyStep.prepare::<C>([node]);
        match step.compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let (losses, of_x) = by_blocks::<B>(x, weight, targets, how, true);
                prep.finish(B::float_cat(of_x, 0), losses)
            }
            OpsKind::UnTracked(prep) => {
                prep.finish(by_blocks::<B>(x, weight, targets, how, false).0)
            }
        }
    }
}

#[derive(Debug)]
struct LinearCrossEntropyStep;

impl<B: CrossEntropyKernels> Backward<B, 1> for LinearCrossEntropyStep {
    /// The gradient of `x` of the sum of all losses.
    type State = FloatTensor<B>;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let of_x = ops.state;
        unary::<B, _>(ops.parents, ops.node, grads, |grad| {
            let rows = grad.shape()[0];
            let grad = cast::<B>(grad, of_x.dtype());
            B::float_mul(of_x, B::float_reshape(grad, [rows, 1].into()))
        });
    }
}

/// The losses, and where they are wanted the gradients of `x` of their sum, block by block.
fn by_blocks<B: CrossEntropyKernels>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    targets: IntTensor<B>,
    how: How,
    with_gradient: bool,
) -> (FloatTensor<B>, Vec<FloatTensor<B>>) {
    let (rows, classes) = (x.shape()[0], weight.shape()[1]);
    let product = [rows, weight.shape()[0], classes];
    let products = vec![product; if with_gradient { 2 } else { 1 }];
    let _call = profile::call("linear cross entropy on cube", &products, rows * classes);
    let (mut losses, mut of_x) = (Vec::new(), Vec::new());
    for first in (0..rows).step_by(super::block(classes)) {
        let block = first..rows.min(first + super::block(classes));
        let x = B::float_slice(x.clone(), &[slice(block.clone())]);
        let targets = B::int_slice(targets.clone(), &[slice(block)]);
        let scores = cast::<B>(B::float_matmul(x, weight.clone()), DType::F32);
        let scores = bounded::<B>(scores, how);
        let (of_block, of_rows) = B::cross_entropy_forward(scores.clone(), targets.clone());
        if with_gradient {
            let ones = B::float_ones(
                of_block.shape(),
                &of_block.device(),
                of_block.dtype().into(),
            );
            let slope = how.cap.map(|cap| slope_of_bound::<B>(scores.clone(), cap));
            let of_scores = B::cross_entropy_backward(ones, scores, targets, of_rows);
            let of_scores = match slope {
                Some(slope) => B::float_mul(of_scores, slope),
                None => of_scores,
            };
            let of_scores = cast::<B>(of_scores, weight.dtype());
            let back = B::float_transpose(weight.clone());
            of_x.push(B::float_matmul(of_scores, back));
        }
        losses.push(of_block);
    }
    (B::float_cat(losses, 0), of_x)
}

fn slice(block: Range<usize>) -> Slice {
    Slice::from(block)
}

/// `c tanh(s / c)`.
fn bounded<B: Backend>(scores: FloatTensor<B>, how: How) -> FloatTensor<B> {
    match how.cap {
        Some(cap) => {
            let turned = B::float_tanh(B::float_div_scalar(scores, cap.into()));
            B::float_mul_scalar(turned, cap.into())
        }
        None => scores,
    }
}

/// `1 - (y / c)^2` of bounded scores.
fn slope_of_bound<B: Backend>(bounded: FloatTensor<B>, cap: f64) -> FloatTensor<B> {
    let ratio = B::float_div_scalar(bounded, cap.into());
    let square = B::float_mul(ratio.clone(), ratio);
    B::float_add_scalar(B::float_neg(square), 1.0.into())
}
