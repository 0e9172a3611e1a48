//! The norm of many tensors together, `sqrt(sum_t sum_i x_ti^2)`, left on their device.

use burn::tensor::{DType, Device, FloatDType, Tensor};

#[cfg(feature = "cube")]
mod cube;
#[cfg(test)]
mod tests;

/// Sums of squares so far.
///
/// On the devices of CubeCL a tensor takes one launch: its sums go to their place in a buffer for all. Elsewhere they are Burn's operations.
#[derive(Debug)]
pub struct SquaredNorm {
    /// How many tensors have come.
    seen: usize,
    /// The sums of some parts of each tensor, in f32.
    sums: Sums,
}

#[derive(Debug)]
enum Sums {
    #[cfg(feature = "cube")]
    Together(Tensor<1>),
    Apart(Vec<Tensor<1>>),
}

impl SquaredNorm {
    /// For at most so many tensors of a device.
    #[must_use]
    pub fn of(tensors: usize, device: &Device) -> Self {
        #[cfg(feature = "cube")]
        let sums = cube::buffer(tensors, device).map(Sums::Together);
        #[cfg(not(feature = "cube"))]
        let sums = {
            let _ = (tensors, device);
            None
        };
        Self {
            seen: 0,
            sums: sums.unwrap_or_else(|| Sums::Apart(Vec::new())),
        }
    }

    /// The same with one more.
    #[must_use]
    pub fn with<const D: usize>(self, x: Tensor<D>) -> Self {
        let seen = self.seen;
        let sums = match self.sums {
            #[cfg(feature = "cube")]
            Sums::Together(sums) => Sums::Together(cube::add(sums, x, seen)),
            Sums::Apart(mut sums) => {
                let x = match x.dtype() == DType::F32 {
                    true => x,
                    false => x.cast(FloatDType::F32),
                };
                sums.push(x.powi_scalar(2).sum());
                Sums::Apart(sums)
            }
        };
        let seen = seen + 1;
        Self { seen, sums }
    }

    /// The norm, shape `[1]`, in f32; `None` of no tensors.
    #[must_use]
    pub fn norm(self) -> Option<Tensor<1>> {
        if self.seen == 0 {
            return None;
        }
        let sums = match self.sums {
            #[cfg(feature = "cube")]
            Sums::Together(sums) => sums,
            Sums::Apart(sums) => Tensor::cat(sums, 0),
        };
        Some(sums.sum().sqrt())
    }
}
