//! The cross entropy of an output layer on flex, a block of rows after the other.
//!
//! ```text
//! p = softmax(x W),   dx_i = g_i (p_i - e_t) W^T
//! ```
//!
//! `(p_i - e_t) W^T` is computed with the loss, while the scores are there.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorData, backend_extension};
use burn::tensor::Tensor;
use faer::MatRef;

use crate::cross_entropy::flex::{Targets, gradient, row_losses};
use crate::flex::{Rows, contiguous, transform, values};
use crate::fused::{fused, or_empty};
use crate::matrix::{dense, matrix, tensor};
use crate::packed::flex::{BlockFactor, Operand};
use crate::packed::{Factor, PackedWeight};
use crate::profile;
use crate::soft_cap::flex::{Capped, CappedBackward};

/// The fused loss, or the inputs back when the fused path does not apply to all of them.
pub(super) fn linear_cross_entropy(
    x: Tensor<2>,
    weight: Factor,
    targets: &Targets,
    cap: Option<f64>,
) -> Result<Tensor<1>, (Tensor<2>, Factor)> {
    if weight.trains() {
        return Err((x, weight));
    }
    let device = x.device();
    let (x, (weight, packed)) = fused((x, weight))?;
    let weight = or_empty::<2>(weight, &device);
    let how = How {
        packed,
        targets: targets.clone(),
        cap: cap.map(|cap| cap as f32),
    };
    let losses = Dispatch::fused_linear_cross_entropy(x, weight, how);
    Ok(Tensor::from_dispatch(losses))
}

/// What is no tensor.
#[derive(Debug, Clone)]
pub(super) struct How {
    /// The weight, where it is packed.
    packed: Option<PackedWeight>,
    targets: Targets,
    /// Bound of the scores.
    cap: Option<f32>,
}

#[backend_extension(Autodiff, Flex)]
pub(super) trait LinearCrossEntropyOps: Backend {
    fn fused_linear_cross_entropy(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        how: How,
    ) -> FloatTensor<Self>;
}

impl LinearCrossEntropyOps for Flex {
    fn fused_linear_cross_entropy(x: FlexTensor, weight: FlexTensor, how: How) -> FlexTensor {
        let (x, weight) = (dense(x), Operand::new(weight, how.packed.clone()));
        losses(matrix(&x), &weight.factor(), &how, None)
    }
}

impl<C: CheckpointStrategy> LinearCrossEntropyOps for Autodiff<Flex, C> {
    fn fused_linear_cross_entropy(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        how: How,
    ) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        let weight = Operand::new(weight.into_primitive(), how.packed.clone());
        let step = LinearCrossEntropyStep.prepare::<C>([node]);
        let (x, factor) = (dense(x), weight.factor());
        match step.compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let [rows, width] = [matrix(&x).nrows(), matrix(&x).ncols()];
                let mut gradient = Vec::with_capacity(rows * width);
                let back = factor.clone().transpose();
                let mut part = |of_scores: FlexTensor| {
                    let part = back.times(matrix(&of_scores));
                    gradient.extend_from_slice(values(&part));
                };
                let losses = losses(matrix(&x), &factor, &how, Some(&mut part));
                prep.finish(tensor(gradient, rows, width), losses)
            }
            OpsKind::UnTracked(prep) => prep.finish(losses(matrix(&x), &factor, &how, None)),
        }
    }
}

/// The loss of every row; whoever wants it gets the gradient of each block of scores.
fn losses(
    x: MatRef<'_, f32>,
    weight: &BlockFactor<'_>,
    how: &How,
    mut of_scores: Option<&mut dyn FnMut(FlexTensor)>,
) -> FlexTensor {
    let classes = weight.ncols();
    let block = super::block(classes);
    let mut losses = Vec::with_capacity(x.nrows());
    let [forward, back] = [
        [x.nrows(), x.ncols(), classes],
        [x.nrows(), classes, x.ncols()],
    ];
    let (name, products) = match of_scores {
        Some(_) => ("linear cross entropy", vec![forward, back]),
        None => ("linear cross entropy, losses", vec![forward]),
    };
    let _call = profile::call(name, &products, x.nrows() * classes);
    for start in (0..x.nrows()).step_by(block) {
        let rows = block.min(x.nrows() - start);
        let targets = &how.targets[start..start + rows];
        let scores = weight.times(x.subrows(start, rows));
        let scores = match how.cap {
            Some(cap) => transform(scores, 1, &Capped(cap)),
            None => scores,
        };
        losses.extend(row_losses(&scores, targets));
        if let Some(of_scores) = &mut of_scores {
            of_scores(gradient_of(scores, targets, how.cap));
        }
    }
    FlexTensor::from_data(TensorData::new(losses, [x.nrows()]))
}

/// The gradient of the sum of the losses with respect to scores before they were bounded.
fn gradient_of(scores: FlexTensor, targets: &[u32], cap: Option<f32>) -> FlexTensor {
    let Some(cap) = cap else {
        return gradient(scores, targets);
    };
    let of_capped = gradient(scores.clone(), targets);
    let capped = values(&scores);
    transform(of_capped, 1, &CappedBackward { cap, capped })
}

#[derive(Debug)]
struct LinearCrossEntropyStep;

impl Backward<Flex, 1> for LinearCrossEntropyStep {
    type State = FlexTensor;

    fn backward(self, ops: Ops<FlexTensor, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = contiguous(grads.consume::<Flex>(&ops.node));
        let [node] = ops.parents;
        if let Some(node) = node {
            let width = matrix(&ops.state).ncols().max(1);
            let kernel = Rows {
                scales: values(&grad),
                width,
            };
            let d_x = transform(ops.state, width, &kernel);
            grads.register::<Flex>(node.id, d_x);
        }
    }
}
