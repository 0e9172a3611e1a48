//! Root mean square norm against f64 and the composition, with frozen parameters, and at the edges.

use burn::tensor::{DType, Device, Tensor};
use proptest::prelude::*;

use super::rms_norm;
use crate::testing::{
    RMS_NORM, assert_close, device, every_device, fused_devices, noise, range, rows_and_width,
    slack, tensor, values, wide,
};
#[cfg(feature = "cube")]
use crate::testing::{assert_runs, cube_device};

const EPS: f64 = 1e-5;

struct Case {
    shape: [usize; 2],
    x: Vec<f32>,
    gamma: Vec<f32>,
    weight: Vec<f32>,
}

impl Case {
    fn new(rows: usize, d: usize, range: f32, seed: u64) -> Self {
        Self {
            shape: [rows, d],
            x: noise(seed, rows * d, range),
            gamma: noise(seed ^ 1, d, 1.0).iter().map(|v| v + 1.5).collect(),
            weight: noise(seed ^ 2, rows * d, 1.0),
        }
    }

    /// `(value, scale)` of `y` and of the gradients of `sum(y weight)` with respect to `x` and `gamma`, in f64. The scale is what
    /// rounding of relative size 1 would move a value by: a gradient is a difference of two terms.
    fn reference(&self) -> [Vec<(f64, f64)>; 3] {
        let [rows, d] = self.shape;
        let [x, gamma, weight] = [&self.x, &self.gamma, &self.weight].map(|v| wide(v));
        let (mut y, mut dx) = (Vec::new(), Vec::new());
        let mut d_gamma = vec![(0.0, 0.0); d];
        for row in 0..rows {
            let own = row * d..(row + 1) * d;
            let (x, g) = (&x[own.clone()], &weight[own]);
            let r = 1.0 / (x.iter().map(|x| x * x).sum::<f64>() / d as f64 + EPS).sqrt();
            let terms = (0..d).map(|i| g[i] * gamma[i] * x[i]);
            let along = r * r / d as f64 * terms.clone().sum::<f64>();
            let unsure = r * r / d as f64 * terms.map(f64::abs).sum::<f64>();
            for i in 0..d {
                let n = x[i] * r * gamma[i];
                y.push((n, n.abs()));
                let scale = r * ((g[i] * gamma[i]).abs() + x[i].abs() * unsure);
                dx.push((r * (g[i] * gamma[i] - x[i] * along), scale));
                d_gamma[i].0 += g[i] * x[i] * r;
                d_gamma[i].1 += (g[i] * x[i] * r).abs();
            }
        }
        [y, dx, d_gamma]
    }

    fn run(&self, device: &Device, f: impl Fn(Tensor<2>, Tensor<1>) -> Tensor<2>) -> [Vec<f32>; 3] {
        let x = tensor(&self.x, self.shape, device).require_grad();
        let gamma = tensor(&self.gamma, [self.shape[1]], device).require_grad();
        let y = f(x.clone(), gamma.clone());
        let loss = (y.clone() * tensor(&self.weight, self.shape, device)).sum();
        let grads = loss.backward();
        [
            values(y),
            values(x.grad(&grads).unwrap()),
            values(gamma.grad(&grads).unwrap()),
        ]
    }
}

fn composed(x: Tensor<2>, gamma: Tensor<1>) -> Tensor<2> {
    let mean = (x.clone() * x.clone()).mean_dim(1);
    x * mean.add_scalar(EPS).sqrt().recip() * gamma.unsqueeze()
}

#[track_caller]
fn assert_all_close(actual: &[Vec<f32>; 3], expected: &[Vec<(f64, f64)>; 3], slack: f64) {
    for (name, (actual, expected)) in ["y", "dx", "dgamma"]
        .iter()
        .zip(actual.iter().zip(expected))
    {
        assert_eq!(actual.len(), expected.len());
        for (i, (a, (value, scale))) in actual.iter().zip(expected).enumerate() {
            let error = (f64::from(*a) - value).abs();
            assert!(
                error <= slack * RMS_NORM * (scale + 1e-6),
                "{name} at {i}: {a} is not {value} (scale {scale})"
            );
        }
    }
}

proptest! {
    #[test]
    fn output_and_both_gradients_equal_f64_and_the_composition((rows, d) in rows_and_width(), range in range(), seed: u64) {
        let case = Case::new(rows, d, range, seed);
        let expected = case.reference();
        for device in fused_devices() {
            let slack = slack(&device);
            let found = case.run(&device, |x, gamma| rms_norm(x, gamma, EPS));
            assert_all_close(&found, &expected, slack);
        }
        assert_all_close(&case.run(&device(), composed), &expected, 1.0);
    }
}

#[test]
fn a_frozen_scale_gets_no_gradient_nor_does_a_frozen_input() {
    let case = Case::new(5, 40, 1.0, 3);
    for device in fused_devices() {
        let x = tensor(&case.x, [5, 40], &device);
        let gamma = tensor(&case.gamma, [40], &device);
        let tracked = x.clone().require_grad();
        let grads = rms_norm(tracked.clone(), gamma.clone(), EPS)
            .sum()
            .backward();
        assert!(tracked.grad(&grads).is_some() && gamma.grad(&grads).is_none());
        let gamma = gamma.require_grad();
        let grads = rms_norm(x.clone(), gamma.clone(), EPS).sum().backward();
        assert!(gamma.grad(&grads).is_some() && x.grad(&grads).is_none());
    }
}

proptest! {
    #[test]
    fn gradients_through_a_frozen_norm_equal_f64((rows, d) in rows_and_width(), range in range(), seed: u64) {
        let mut case = Case::new(rows, d, range, seed);
        // The output of a column that is not scaled says nothing of the input.
        for scale in [case.gamma[0], 1e-18, 1e-30, 0.0] {
            case.gamma[0] = scale;
            let [_, expected, _] = case.reference();
            for device in fused_devices() {
                let x = tensor(&case.x, case.shape, &device).require_grad();
                let y = rms_norm(x.clone(), tensor(&case.gamma, [d], &device), EPS);
                let grads = (y * tensor(&case.weight, case.shape, &device)).sum().backward();
                let found = values(x.grad(&grads).unwrap());
                for (found, (value, scale)) in found.iter().zip(&expected) {
                    let error = (f64::from(*found) - value).abs();
                    prop_assert!(error <= slack(&device) * RMS_NORM * (scale + 1e-6), "{found} is not {value}");
                }
            }
        }
    }
}

#[cfg(feature = "flex")]
#[test]
fn nothing_is_recorded_when_nothing_requires_gradients() {
    let x = Tensor::<2>::ones([3, 4], &device());
    let y = rms_norm(x, Tensor::ones([4], &device()), EPS);
    assert!(!crate::testing::is_tracked(y));
}

#[test]
fn gradients_do_not_depend_on_the_number_of_threads() {
    let case = Case::new(700, 33, 1.0, 8);
    let run = || case.run(&device(), |x, gamma| rms_norm(x, gamma, EPS));
    let single = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .unwrap();
    assert_eq!(run(), single.install(run));
}

#[test]
fn rows_of_zeros_stay_zero_and_nan_fills_its_row_and_no_other() {
    let mut x = vec![0.0_f32; 30];
    x[10..20].copy_from_slice(&noise(1, 10, 1.0));
    x[25] = f32::NAN;
    for device in every_device() {
        let y = values(rms_norm(
            tensor(&x, [3, 10], &device),
            Tensor::ones([10], &device),
            EPS,
        ));
        assert!(y[..10].iter().all(|v| *v == 0.0));
        assert!(y[10..20].iter().all(|v| v.is_finite()));
        assert!(y[20..].iter().all(|v| v.is_nan()));
    }
}

#[test]
fn permuted_inputs_other_types_and_other_devices_work_too() {
    let case = Case::new(6, 8, 1.0, 4);
    let on = |device: &Device, dtype: DType| {
        let x = tensor(&case.x, [2, 8, 3], device).permute([2, 0, 1]);
        let gamma = tensor(&case.gamma, [8], device);
        rms_norm(x.cast(dtype), gamma.cast(dtype), EPS)
    };
    let double = on(&Device::flex(), DType::F64);
    assert_eq!(double.dtype(), DType::F64);
    let expected = wide(&values(double.cast(DType::F32)));
    for device in every_device() {
        let slack = slack(&device);
        let y = values(on(&device, DType::F32));
        assert_close(&y, &expected, slack * RMS_NORM, slack * RMS_NORM);
    }
}

#[cfg(feature = "cube")]
#[test]
fn the_kernels_of_cubecl_run() {
    let Some(device) = cube_device() else { return };
    let case = Case::new(40, 300, 1.0, 7);
    let kernels = [
        "rms norm on cube",
        "rms norm backward on cube",
        "rms norm scale on cube",
    ];
    assert_runs(&kernels, || {
        case.run(&device.autodiff(), |x, gamma| rms_norm(x, gamma, EPS));
    });
}

#[test]
#[should_panic(expected = "x has rows of 8, gamma [7]")]
fn a_scale_of_another_width_is_refused() {
    let device = Device::flex();
    let _ = rms_norm(
        Tensor::<2>::ones([3, 8], &device),
        Tensor::ones([7], &device),
        EPS,
    );
}
