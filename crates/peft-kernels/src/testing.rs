//! What the tests of the kernels share: tolerances, inputs, gradients.

mod devices;

use burn::tensor::{Device, Tensor, TensorData};
use proptest::prelude::*;

#[cfg(feature = "cube")]
pub(crate) use devices::{cube_device, cube_device_with_half};
pub(crate) use devices::{device, every_device, fused_devices, other_devices, slack};

/// GELU against f64: absolute, up to values of 4; see also [`ULP`].
pub(crate) const GELU: f64 = 5e-7;
/// Derivatives of GELU against f64, absolute.
pub(crate) const GELU_SLOPE: f64 = 1e-6;
/// One unit in the last place of f32, relative.
pub(crate) const ULP: f64 = 1.2e-7;
/// Gates and their gradients against f64: absolute, for factors of at most 1.
pub(crate) const GATED: f64 = 5e-7;
/// Root mean square norm against f64: relative to the scale that rounding has at each value, see its tests.
pub(crate) const RMS_NORM: f64 = 2e-6;
/// Rotations against f64, absolute and relative, of values of at most 3.
pub(crate) const ROTARY: f64 = 1e-6;
/// Softmax and its gradient against f64: absolute, outputs are at most 1 and gradients of the tests at most 4.
pub(crate) const SOFTMAX: f64 = 2e-6;
/// Layer norm against f64: relative to the scale that rounding has at each value, see its tests.
pub(crate) const LAYER_NORM: f64 = 2e-6;
/// Cross entropy against f64: relative to losses of up to a few hundred, and to probabilities.
pub(crate) const CROSS_ENTROPY: f64 = 2e-6;
/// Mixtures of experts against f64: relative to the sum of the sizes of all terms of a value, see the tests.
pub(crate) const EXPERT_MIXTURE: f64 = 2e-6;

/// Products of rounded factors: relative to the sum of the sizes of all terms of a value; each factor is off by at most 2^-9 of itself.
#[cfg(feature = "flex")]
pub(crate) const BF16: f64 = 4.2e-3;

/// What a graphics processor may be off by, in multiples of the processor's tolerances: WGSL promises exponentials, divisions and roots to a
/// few units in the last place, and a unit sums one value after the other.
pub(crate) const GRAPHICS: f64 = 8.0;

/// Asserts that kernels of these names ran while `f` did: an operation that falls back to its composition is as right as one that does not.
#[cfg(feature = "cube")]
#[track_caller]
pub(crate) fn assert_runs(kernels: &[&str], f: impl FnOnce()) {
    let profile = crate::profile::of(f);
    for kernel in kernels {
        assert!(
            profile.contains_key(kernel),
            "`{kernel}` did not run: {profile:?}"
        );
    }
}

/// A tensor of the given values.
pub(crate) fn tensor<const D: usize>(
    values: &[f32],
    shape: [usize; D],
    device: &Device,
) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), device)
}

/// The values of a tensor, in row-major order.
pub(crate) fn values<const D: usize>(x: Tensor<D>) -> Vec<f32> {
    x.into_data().try_to_vec().expect("an f32 tensor")
}

/// `(f(x), d sum(f(x) weight) / dx)`.
pub(crate) fn with_gradient<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<D>,
    f: impl Fn(Tensor<D>) -> Tensor<D>,
) -> (Vec<f32>, Vec<f32>) {
    let x = x.detach().require_grad();
    let y = f(x.clone());
    let grads = (y.clone() * weight).sum().backward();
    let grad = x.grad(&grads).expect("x requires a gradient");
    (values(y), values(grad))
}

/// Whether the autodiff graph follows this tensor.
#[cfg(feature = "flex")]
pub(crate) fn is_tracked<const D: usize>(x: Tensor<D>) -> bool {
    use burn::backend::{Autodiff, Flex};
    x.try_into_primitive::<Autodiff<Flex>>()
        .expect("a tensor on flex with autodiff")
        .is_tracked()
}

/// Asserts that every value is within `absolute + relative |expected|`; NaN equals NaN.
#[track_caller]
pub(crate) fn assert_close(actual: &[f32], expected: &[f64], absolute: f64, relative: f64) {
    assert_eq!(actual.len(), expected.len());
    for (i, (a, e)) in actual.iter().zip(expected).enumerate() {
        let error = (f64::from(*a) - e).abs();
        let close = error <= absolute + relative * e.abs();
        assert!(
            close || (a.is_nan() && e.is_nan()),
            "at {i}: {a} is not {e}"
        );
    }
}

/// The same values in f64.
pub(crate) fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|v| f64::from(*v)).collect()
}

/// Reproducible values in `[-range, range]`.
pub(crate) fn noise(seed: u64, count: usize, range: f32) -> Vec<f32> {
    let unit = |i| (crate::derive_seed(seed, i as u64) >> 40) as f32 / (1 << 23) as f32 - 1.0;
    (0..count).map(|i| unit(i) * range).collect()
}

/// Rows and a row length: odd sizes, single rows, more than one task.
pub(crate) fn rows_and_width() -> impl Strategy<Value = (usize, usize)> {
    prop_oneof![
        4 => (1_usize..7, 1_usize..70),
        1 => Just((1, 1)),
        1 => Just((1, 1000)),
        1 => (200_usize..300, 97_usize..131),
    ]
}

/// Magnitudes of the inputs.
pub(crate) fn range() -> impl Strategy<Value = f32> {
    prop_oneof![Just(0.01_f32), Just(1.0), Just(6.0), Just(80.0)]
}
