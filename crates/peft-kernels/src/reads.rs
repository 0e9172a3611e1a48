//! Values that are read from a device, in one place: whoever reads waits for all that the device was asked to do before.
//!
//! The readings of each thread are counted, so that tests can say how often a training step waits.

use std::cell::Cell;

use burn::tensor::kind::Basic;
use burn::tensor::{Tensor, TensorData};

thread_local! {
    static READS: Cell<usize> = const { Cell::new(0) };
}

/// The values of a tensor, on the host.
///
/// # Panics
/// When the device cannot be read from, as [`Tensor::into_data`].
#[must_use]
pub fn read<const D: usize, K: Basic>(tensor: Tensor<D, K>) -> TensorData {
    READS.set(READS.get() + 1);
    tensor.into_data()
}

/// The same, or what the device says where it was lost.
///
/// # Errors
/// The device cannot be read from.
pub fn try_read<const D: usize, K: Basic>(tensor: Tensor<D, K>) -> Result<TensorData, String> {
    READS.set(READS.get() + 1);
    tensor.try_into_data().map_err(|error| error.to_string())
}

/// The value of a tensor of one, as [`read`].
///
/// # Panics
/// As [`read`], and when there is no value.
#[must_use]
pub fn read_number<const D: usize>(tensor: Tensor<D>) -> f64 {
    let first = read(tensor).iter::<f32>().next();
    f64::from(first.expect("a tensor of one value"))
}

/// How often this thread has read so far.
#[must_use]
pub fn reads() -> usize {
    READS.get()
}
