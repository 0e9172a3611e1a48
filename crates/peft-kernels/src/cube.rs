//! What the kernels in CubeCL share: where they apply.
//!
//! A kernel is written once and compiled at run time for the device, through WGSL, CUDA, HIP, MSL or SPIR-V. Every operation has two traits
//! here: its kernels, for tensors without a graph, and the operation itself, with the backward. Both are Burn backend extensions. Where
//! Burn's `fusion` wraps the backend, a kernel is queued as one opaque operation: what stands before and behind it is fused, it is not.
//!
//! Values are stored as f32, f16 or bf16; all arithmetic is in f32. Launches are the checked ones, in which an index outside of a buffer
//! touches nothing: the unchecked ones are unsafe code.

pub(crate) mod launch;

use ::burn::backend::tensor::FloatTensor;
use ::burn::backend::{Backend, DType, DispatchDevice, TensorMetadata};
use ::burn::tensor::{Device, FloatDType, Tensor};
use burn_cubecl::CubeDevice;

use crate::fused::{Fuse, Kernels};
use launch::UNITS;

/// `burn` as its extension macro names it, with the backend that defers operations, which Burn itself shows only with its feature `fusion`.
/// Features of a build are united, so that this crate cannot know whether that feature is on: the extensions are made for both cases.
pub(crate) mod burn {
    pub(crate) use ::burn::tensor;

    pub(crate) mod backend {
        pub(crate) use ::burn::backend::*;
        pub(crate) use burn_fusion as fusion;
    }
}

/// The dispatch form of tensors when the kernels of CubeCL take all of them: on one of its devices, tracked or not, all of the type of
/// `like`, which is f32 or half of it; else the tensors.
pub(crate) fn on_cube<T: Fuse, const D: usize>(
    like: &Tensor<D>,
    tensors: T,
) -> Result<T::Dispatch, T> {
    let dtype = like.dtype();
    let fits = matches!(dtype, DType::F32 | DType::F16 | DType::BF16)
        && like.shape().num_elements() > 0
        && device(&like.device()).is_some_and(|device| {
            device.client().properties().hardware.max_units_per_cube >= UNITS
        });
    match fits {
        true => tensors.try_fuse(Kernels::Cube(dtype)),
        false => Err(tensors),
    }
}

/// The device of CubeCL that a device is, if it is one.
pub(crate) fn device(device: &Device) -> Option<CubeDevice> {
    match device.clone().without_autodiff().as_dispatch() {
        DispatchDevice::Cube(device) => Some(device.clone()),
        #[allow(
            unreachable_patterns,
            reason = "there are others where their features are on"
        )]
        _ => None,
    }
}

/// The tensor in another type; itself where it is of that type.
pub(crate) fn cast<B: Backend>(x: FloatTensor<B>, dtype: DType) -> FloatTensor<B> {
    match x.dtype() == dtype {
        true => x,
        false => B::float_cast(x, dtype.into()),
    }
}

/// Whether a device is one of CubeCL's that multiplies bfloat16.
pub(crate) fn multiplies_bf16(device: &Device) -> bool {
    self::device(device).is_some() && device.supports_dtype(FloatDType::BF16)
}
