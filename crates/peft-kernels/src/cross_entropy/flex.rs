//! Cross entropy on flex.
//!
//! ```text
//! p = softmax(x),   dx_ij = g_i (p_ij - [j = t_i])
//! ```

use std::sync::Arc;

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{
    Autodiff, Backend, Dispatch, Flex, TensorData, TensorMetadata, backend_extension,
};
use burn::tensor::Tensor;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::flex::{Kernel, contiguous, transform, values};
use crate::fused::fused;
use crate::math::{exp, max, sum};
use crate::profile;
use crate::softmax::flex::probabilities;

/// The class of every row.
pub(crate) type Targets = Arc<[u32]>;

/// The fused loss, or the scores back when the fused path does not apply to them.
pub(super) fn cross_entropy(scores: Tensor<2>, targets: &Targets) -> Result<Tensor<1>, Tensor<2>> {
    let scores = fused(scores)?;
    Ok(Tensor::from_dispatch(Dispatch::fused_cross_entropy(
        scores,
        targets.clone(),
    )))
}

#[backend_extension(Autodiff, Flex)]
pub(super) trait CrossEntropyOps: Backend {
    fn fused_cross_entropy(scores: FloatTensor<Self>, targets: Targets) -> FloatTensor<Self>;
}

impl CrossEntropyOps for Flex {
    fn fused_cross_entropy(scores: FlexTensor, targets: Targets) -> FlexTensor {
        losses(&contiguous(scores), &targets)
    }
}

impl<C: CheckpointStrategy> CrossEntropyOps for Autodiff<Flex, C> {
    fn fused_cross_entropy(scores: FloatTensor<Self>, targets: Targets) -> FloatTensor<Self> {
        let (scores, node) = scores.into_parts();
        let scores = contiguous(scores);
        let losses = losses(&scores, &targets);
        match CrossEntropyStep
            .prepare::<C>([node])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => {
                let probabilities = probabilities(scores);
                prep.finish(
                    Saved {
                        probabilities,
                        targets,
                    },
                    losses,
                )
            }
            OpsKind::UnTracked(prep) => prep.finish(losses),
        }
    }
}

/// What the backward needs.
#[derive(Clone, Debug)]
struct Saved {
    probabilities: FlexTensor,
    targets: Targets,
}

#[derive(Debug)]
struct CrossEntropyStep;

impl Backward<Flex, 1> for CrossEntropyStep {
    type State = Saved;

    fn backward(self, ops: Ops<Saved, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let Saved {
            probabilities,
            targets,
        } = ops.state;
        let grad = contiguous(grads.consume::<Flex>(&ops.node));
        let [node] = ops.parents;
        if let Some(node) = node {
            let classes = probabilities.shape()[1];
            let kernel = Derivative {
                grad: values(&grad),
                targets: &targets,
                classes,
            };
            let d_scores = transform(probabilities, classes.max(1), &kernel);
            grads.register::<Flex>(node.id, d_scores);
        }
    }
}

/// The loss of every row.
fn losses(scores: &FlexTensor, targets: &[u32]) -> FlexTensor {
    let _call = profile::call("cross entropy", &[], values(scores).len());
    let losses = row_losses(scores, targets);
    FlexTensor::from_data(TensorData::new(losses, [targets.len()]))
}

/// The gradient of the sum of all losses with respect to scores that lie row after row, in their place.
pub(crate) fn gradient(scores: FlexTensor, targets: &[u32]) -> FlexTensor {
    let classes = scores.shape()[1].max(1);
    let kernel = Derivative {
        grad: &vec![1.0; targets.len()],
        targets,
        classes,
    };
    transform(probabilities(scores), classes, &kernel)
}

/// The loss of every row of scores that lie row after row.
pub(crate) fn row_losses(scores: &FlexTensor, targets: &[u32]) -> Vec<f32> {
    let classes = scores.shape()[1].max(1);
    values(scores)
        .par_chunks(classes)
        .zip(targets)
        .map(|(row, target)| {
            Arch::new().dispatch(RowLoss {
                row,
                target: *target as usize,
            })
        })
        .collect()
}

/// `ln(sum e^x) - x_t` of one row.
struct RowLoss<'a> {
    row: &'a [f32],
    target: usize,
}

impl WithSimd for RowLoss<'_> {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) -> f32 {
        let largest = max(self.row);
        let total = sum(self.row, |x| exp::<S>(x - largest));
        total.ln() + (largest - self.row[self.target])
    }
}

/// Turns probabilities into the gradient of the scores.
struct Derivative<'a> {
    /// One per row.
    grad: &'a [f32],
    targets: &'a [u32],
    classes: usize,
}

impl Kernel for Derivative<'_> {
    const NAME: &'static str = "cross entropy backward";

    #[inline(always)]
    fn run<S: Simd>(&self, start: usize, chunk: &mut [f32]) {
        let first = start / self.classes;
        for (at, row) in chunk.chunks_exact_mut(self.classes).enumerate() {
            let (g, target) = (self.grad[first + at], self.targets[first + at] as usize);
            row[target] -= 1.0;
            row.iter_mut().for_each(|p| *p *= g);
        }
    }
}
