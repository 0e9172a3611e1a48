//! AdamW in CubeCL: one launch for a parameter.

mod kernels;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, DType, Dispatch, backend_extension};
use burn::tensor::Tensor;

use super::{AdamWStep, Factors, Moving};
use crate::cube::{burn, on_cube};
use crate::fused::Fuse;

/// The step, or the tensors back when the kernel does not apply to all of them.
pub(super) fn adamw<const D: usize>(
    at: Moving<D>,
    grad: Tensor<D>,
    how: AdamWStep,
) -> Result<Moving<D>, (Moving<D>, Tensor<D>)> {
    if at.weight.dtype() != DType::F32 || at.weight.device().is_autodiff() {
        return Err((at, grad));
    }
    let like = at.weight.clone();
    let ([weight, first, second], grad) = on_cube(&like, (at, grad))?;
    // What somebody else holds is not written over.
    drop(like);
    let (weight, first, second) = Dispatch::cube_adamw(weight, grad, first, second, how.factors());
    Ok(Moving::unfuse([weight, first, second]))
}

#[backend_extension(Cube, Fusion)]
pub(super) trait AdamWKernels: Backend {
    /// Weight, first and second moment after the step.
    #[fusion(meta = |weight, _grad, first, second, _how| (weight.clone(), first.clone(), second.clone()))]
    fn cube_adamw(
        weight: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        how: Factors,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}
