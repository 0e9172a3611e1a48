//! Where the fused kernels apply, and the way there and back for the tensors of an operation.

use burn::backend::{DType, DispatchTensor, DispatchTensorKind, TensorMetadata};
#[cfg(feature = "flex")]
use burn::tensor::Device;
use burn::tensor::Tensor;

/// Whose kernels an operation is tried with.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kernels {
    /// Those of the processor, in f32.
    #[cfg(feature = "flex")]
    Flex,
    /// Those of the devices of CubeCL, in one type of floats.
    #[cfg(feature = "cube")]
    Cube(DType),
}

impl Kernels {
    /// Whether they take this tensor, tracked or not.
    fn take(self, tensor: &DispatchTensor) -> bool {
        let kind = match &tensor.kind {
            DispatchTensorKind::Autodiff(inner) => inner.as_ref(),
            kind => kind,
        };
        match self {
            #[cfg(feature = "flex")]
            Self::Flex => {
                matches!(kind, DispatchTensorKind::Flex(_)) && tensor.dtype() == DType::F32
            }
            #[cfg(feature = "cube")]
            Self::Cube(dtype) => {
                matches!(kind, DispatchTensorKind::Cube(_)) && tensor.dtype() == dtype
            }
        }
    }
}

/// A tensor, or several that one operation takes.
pub(crate) trait Fuse: Sized {
    /// The same in dispatch form.
    type Dispatch;

    /// The dispatch form when the kernels take all of them; else the tensors.
    fn try_fuse(self, kernels: Kernels) -> Result<Self::Dispatch, Self>;

    /// The tensors again.
    fn unfuse(dispatch: Self::Dispatch) -> Self;
}

/// The dispatch form of tensors when the kernels of flex take all of them (f32, on flex, tracked or not); else the tensors.
#[cfg(feature = "flex")]
pub(crate) fn fused<T: Fuse>(tensors: T) -> Result<T::Dispatch, T> {
    tensors.try_fuse(Kernels::Flex)
}

/// A tensor of rank `D` that an operation may lack, an absent one as an empty tensor.
#[cfg(feature = "flex")]
pub(crate) fn or_empty<const D: usize>(
    tensor: Option<DispatchTensor>,
    device: &Device,
) -> DispatchTensor {
    tensor.unwrap_or_else(|| Tensor::<D>::empty([0; D], device).into_dispatch())
}

impl<const D: usize> Fuse for Tensor<D> {
    type Dispatch = DispatchTensor;

    fn try_fuse(self, kernels: Kernels) -> Result<DispatchTensor, Self> {
        let dispatch = self.into_dispatch();
        if kernels.take(&dispatch) {
            Ok(dispatch)
        } else {
            Err(Self::from_dispatch(dispatch))
        }
    }

    fn unfuse(dispatch: DispatchTensor) -> Self {
        Self::from_dispatch(dispatch)
    }
}

/// An absent tensor fits everywhere.
impl<T: Fuse> Fuse for Option<T> {
    type Dispatch = Option<T::Dispatch>;

    fn try_fuse(self, kernels: Kernels) -> Result<Self::Dispatch, Self> {
        match self.map(|tensors| tensors.try_fuse(kernels)) {
            None => Ok(None),
            Some(Ok(tensors)) => Ok(Some(tensors)),
            Some(Err(tensors)) => Err(Some(tensors)),
        }
    }

    fn unfuse(dispatch: Self::Dispatch) -> Self {
        dispatch.map(T::unfuse)
    }
}

impl<A: Fuse, B: Fuse> Fuse for (A, B) {
    type Dispatch = (A::Dispatch, B::Dispatch);

    fn try_fuse(self, kernels: Kernels) -> Result<Self::Dispatch, Self> {
        let (a, b) = self;
        let a = match a.try_fuse(kernels) {
            Ok(a) => a,
            Err(a) => return Err((a, b)),
        };
        match b.try_fuse(kernels) {
            Ok(b) => Ok((a, b)),
            Err(b) => Err((A::unfuse(a), b)),
        }
    }

    fn unfuse((a, b): Self::Dispatch) -> Self {
        (A::unfuse(a), B::unfuse(b))
    }
}

impl<A: Fuse, B: Fuse, C: Fuse> Fuse for (A, B, C) {
    type Dispatch = (A::Dispatch, B::Dispatch, C::Dispatch);

    fn try_fuse(self, kernels: Kernels) -> Result<Self::Dispatch, Self> {
        let (a, b, c) = self;
        match (a, (b, c)).try_fuse(kernels) {
            Ok((a, (b, c))) => Ok((a, b, c)),
            Err((a, (b, c))) => Err((a, b, c)),
        }
    }

    fn unfuse((a, b, c): Self::Dispatch) -> Self {
        (A::unfuse(a), B::unfuse(b), C::unfuse(c))
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::tensor::{FloatDType, TensorData};

    use super::*;

    #[test]
    fn one_tensor_of_another_type_brings_all_of_them_back() {
        let device = Device::flex();
        let tensor =
            |value: f32| Tensor::<1>::from_data(TensorData::from([value, 2.0 * value]), &device);
        for odd in 0..3 {
            let given = [1.0, 2.0, 3.0].map(tensor);
            let mut inputs = given.clone();
            inputs[odd] = inputs[odd].clone().cast(FloatDType::F64);
            let [a, b, c] = inputs;
            let (a, b, c) = fused((a, b, c)).expect_err("one tensor is f64");
            for (at, (found, given)) in [a, b, c].into_iter().zip(given).enumerate() {
                assert_eq!(found.dtype() == DType::F64, at == odd);
                let found = found.cast(FloatDType::F32).into_data();
                assert_eq!(found, given.into_data());
            }
        }
        let [a, b, c] = [1.0, 2.0, 3.0].map(tensor);
        let fused = fused((a.clone(), b, c)).expect("all are f32");
        let (found, _, _) = <(Tensor<1>, Tensor<1>, Tensor<1>)>::unfuse(fused);
        assert_eq!(found.into_data(), a.into_data());
    }
}
