//! AdamW on flex.

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::{Bytes, Tensor};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::{AdamWStep, Factors, Moving};
use crate::flex::{CHUNK, contiguous, values};
use crate::fused::{Fuse, fused};
use crate::profile;

/// The step, or the tensors back when the fused path does not apply to all of them.
pub(super) fn adamw<const D: usize>(
    at: Moving<D>,
    grad: Tensor<D>,
    how: AdamWStep,
) -> Result<Moving<D>, (Moving<D>, Tensor<D>)> {
    let ([weight, first, second], grad) = fused((at, grad))?;
    let (weight, first, second) = Dispatch::fused_adamw(weight, grad, first, second, how.factors());
    Ok(Moving::unfuse([weight, first, second]))
}

/// Nothing is differentiated through a step.
#[backend_extension(Autodiff, Flex)]
pub(super) trait AdamWOps: Backend {
    /// Weight, first and second moment after the step.
    fn fused_adamw(
        weight: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        how: Factors,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

impl<C: CheckpointStrategy> AdamWOps for Autodiff<Flex, C> {
    fn fused_adamw(
        weight: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        how: Factors,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let [weight, grad, first, second] =
            [weight, grad, first, second].map(|tensor| tensor.into_primitive());
        let (weight, first, second) = Flex::fused_adamw(weight, grad, first, second, how);
        let [weight, first, second] = [weight, first, second].map(Self::from_inner);
        (weight, first, second)
    }
}

impl AdamWOps for Flex {
    fn fused_adamw(
        weight: FlexTensor,
        grad: FlexTensor,
        first: FlexTensor,
        second: FlexTensor,
        how: Factors,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let grad = contiguous(grad);
        let grad = values(&grad);
        let _call = profile::call("adamw", &[], 7 * grad.len());
        let [mut weight, mut first, mut second] = [weight, first, second].map(owned);
        let targets = [&mut weight, &mut first, &mut second];
        let [weights, firsts, seconds] = targets.map(FlexTensor::storage_mut::<f32>);
        let targets = weights
            .par_chunks_mut(CHUNK)
            .zip(firsts.par_chunks_mut(CHUNK))
            .zip(seconds.par_chunks_mut(CHUNK));
        let chunks = targets.zip(grad.par_chunks(CHUNK));
        chunks.for_each(|(((weights, firsts), seconds), grad)| {
            Arch::new().dispatch(Chunk {
                weights,
                firsts,
                seconds,
                grad,
                how,
            });
        });
        (weight, first, second)
    }
}

/// The tensor with memory that it shares with nobody, and nothing else there.
fn owned(x: FlexTensor) -> FlexTensor {
    let mut x = contiguous(x);
    if x.try_storage_mut::<f32>().is_some() {
        return x;
    }
    let copy = Bytes::from_elems(values(&x).to_vec());
    FlexTensor::new(copy, x.layout().clone(), x.dtype())
}

struct Chunk<'a> {
    weights: &'a mut [f32],
    firsts: &'a mut [f32],
    seconds: &'a mut [f32],
    grad: &'a [f32],
    how: Factors,
}

impl WithSimd for Chunk<'_> {
    type Output = ();

    /// Each operation is rounded by itself, as in the composition, so that results are the same bits.
    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        let Factors {
            lr,
            kept,
            beta1,
            beta2,
            epsilon,
            corrections,
        } = self.how;
        let moments = self.firsts.iter_mut().zip(self.seconds);
        let inputs = moments.zip(self.grad);
        for (weight, ((first, second), grad)) in self.weights.iter_mut().zip(inputs) {
            *first = *first * beta1 + grad * (1.0 - beta1);
            *second = *second * beta2 + grad * grad * (1.0 - beta2);
            let root = (*second / corrections[1]).sqrt();
            let direction = *first / corrections[0] / (root + epsilon);
            *weight = *weight * kept - direction * lr;
        }
    }
}
