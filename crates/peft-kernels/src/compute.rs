//! How exactly the large products are computed.

use std::cell::Cell;

use burn::tensor::Device;
#[cfg(feature = "cube")]
use burn::tensor::{DType, FloatDType, Tensor};

/// The numbers that the large products of this crate multiply; sums are f32 always.
///
/// It holds for a thread, as long as [`Compute::run`] says, and for the gradients of what was computed meanwhile. A low-rank
/// pair is multiplied as the layer that it is beside, with an input of its own in f32. Products of few rows, or with less than a vector of
/// columns, are in f32 always, and so is everything that is no product. What is
/// kept of inputs for the gradients is rounded as they are.
///
/// That is flex. On the devices of CubeCL that have bfloat16, outputs and gradients of products are rounded too, as by `torch.autocast`, and attention
/// is in f32. Others do not look at it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Compute {
    /// f32.
    #[default]
    F32,
    /// Both factors are rounded to bfloat16, an error of at most 2^-9 of each value.
    Bf16,
}

thread_local! {
    static CURRENT: Cell<Compute> = const { Cell::new(Compute::F32) };
}

impl Compute {
    /// What holds for this thread.
    #[must_use]
    pub fn current() -> Self {
        CURRENT.get()
    }

    /// Whether this processor multiplies such numbers itself; else bfloat16 is as exact, but slower than f32.
    #[must_use]
    pub fn is_native(self) -> bool {
        match self {
            Self::F32 => true,
            #[cfg(feature = "flex")]
            Self::Bf16 => peft_bf16::is_native(),
            #[cfg(not(feature = "flex"))]
            Self::Bf16 => false,
        }
    }

    /// Whether a device multiplies such numbers itself: the processor as [`Self::is_native`] says, a graphics processor as its driver does.
    #[must_use]
    pub fn is_native_on(self, device: &Device) -> bool {
        #[cfg(feature = "flex")]
        if device.clone().without_autodiff() == Device::flex() {
            return self.is_native();
        }
        match self {
            Self::F32 => true,
            #[cfg(feature = "cube")]
            Self::Bf16 => crate::cube::multiplies_bf16(device),
            #[cfg(not(feature = "cube"))]
            Self::Bf16 => {
                let _ = device;
                false
            }
        }
    }

    /// Whether its products take less time on this processor than those in f32; a short trial finds out once.
    #[must_use]
    pub fn is_faster(self) -> bool {
        match self {
            Self::F32 => false,
            #[cfg(feature = "flex")]
            Self::Bf16 => peft_bf16::is_faster(),
            #[cfg(not(feature = "flex"))]
            Self::Bf16 => false,
        }
    }

    /// Runs `work` so, on this thread.
    pub fn run<R>(self, work: impl FnOnce() -> R) -> R {
        let _before = Before(CURRENT.replace(self));
        work()
    }
}

/// What both factors of a product with this one are rounded to on its device, if to anything.
#[cfg(feature = "cube")]
pub(crate) fn rounding<const D: usize>(x: &Tensor<D>) -> Option<FloatDType> {
    let rounds = x.dtype() == DType::F32
        && Compute::current() == Compute::Bf16
        && crate::cube::multiplies_bf16(&x.device());
    rounds.then_some(FloatDType::BF16)
}

/// What held before, and does again when this is dropped, by a panic too.
struct Before(Compute);

impl Drop for Before {
    fn drop(&mut self) {
        CURRENT.set(self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::Compute;

    #[test]
    fn it_holds_for_a_thread_until_the_work_is_done_or_has_panicked() {
        let inside = Compute::Bf16.run(|| {
            let other = std::thread::spawn(Compute::current).join();
            let nested = Compute::F32.run(Compute::current);
            let panic = std::panic::catch_unwind(|| Compute::F32.run(|| panic!("on purpose")));
            assert!(panic.is_err());
            [other.unwrap(), nested, Compute::current()]
        });
        assert_eq!(inside, [Compute::F32, Compute::F32, Compute::Bf16]);
        assert_eq!(Compute::current(), Compute::F32);
    }
}
