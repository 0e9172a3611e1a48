//! The sums in CubeCL: one launch for a tensor, whose parts have places of their own in a buffer.

mod kernels;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, DType, Dispatch, backend_extension};
use burn::tensor::{Device, Tensor};

use crate::cube::{self, burn};

/// Parts of a tensor, a cube for each.
const PARTS: usize = 32;

/// Zeros for the sums of so many tensors, where the device is one of CubeCL's.
pub(super) fn buffer(tensors: usize, device: &Device) -> Option<Tensor<1>> {
    cube::device(device)?;
    let inner = device.clone().without_autodiff();
    Some(Tensor::zeros([tensors * PARTS], (&inner, DType::F32)))
}

/// The sums with those of one more tensor, number `at`.
pub(super) fn add<const D: usize>(sums: Tensor<1>, x: Tensor<D>, at: usize) -> Tensor<1> {
    if x.shape().num_elements() == 0 {
        return sums;
    }
    let x = x.without_autodiff().into_dispatch();
    Tensor::from_dispatch(Dispatch::add_squares(sums.into_dispatch(), x, at))
}

#[backend_extension(Cube, Fusion)]
pub(super) trait SquaredNormKernels: Backend {
    #[fusion(dtype = sums, shape = sums)]
    fn add_squares(sums: FloatTensor<Self>, x: FloatTensor<Self>, at: usize) -> FloatTensor<Self>;
}
