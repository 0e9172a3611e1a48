//! Layer norm against f64, against Burn's own, with frozen parameters, and at the edges.

use burn::tensor::{DType, Device, Tensor, module};
use proptest::prelude::*;

use super::layer_norm;
use crate::testing::{
    LAYER_NORM, assert_close, device, noise, other_devices, rows_and_width, tensor, values, wide,
};

const EPS: f64 = 1e-5;

/// Inputs of one case.
struct Case {
    x: Vec<f32>,
    gamma: Vec<f32>,
    beta: Vec<f32>,
    weight: Vec<f32>,
}

/// Values, and the scale of the error that rounding leaves in each.
#[derive(Default)]
struct Expected {
    values: Vec<f64>,
    scales: Vec<f64>,
}

impl Expected {
    fn zeros(count: usize) -> Self {
        Self {
            values: vec![0.0; count],
            scales: vec![0.0; count],
        }
    }

    fn push(&mut self, value: f64, scale: f64) {
        self.values.push(value);
        self.scales.push(scale);
    }

    fn add(&mut self, i: usize, value: f64, scale: f64) {
        self.values[i] += value;
        self.scales[i] += scale;
    }
}

fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |m, v| m.max(v.abs()))
}

impl Case {
    fn new(rows: usize, d: usize, range: f32, seed: u64) -> Self {
        Self {
            x: noise(seed, rows * d, range)
                .iter()
                .map(|v| v + 0.3 * range)
                .collect(),
            gamma: noise(seed ^ 1, d, 1.0).iter().map(|v| v + 1.5).collect(),
            beta: noise(seed ^ 2, d, 1.0),
            weight: noise(seed ^ 3, rows * d, 1.0),
        }
    }

    /// `y`, and the gradients of `sum(y weight)` with respect to `x`, `gamma`, `beta`, in f64.
    ///
    /// The scale of a value is how much it moves, per unit of relative rounding: `x - mean` is off by
    /// up to `max |x|`, so a normalised value by `unsure = 1 + r max |x|`, and every gradient is a
    /// difference of terms that are off by that much. Rows of nearly equal values have a large `r`,
    /// and the gradient of two values cancels to almost nothing: no implementation in f32 keeps
    /// a relative bound there.
    fn reference(&self) -> [Expected; 4] {
        let d = self.gamma.len();
        let mut y = Expected::default();
        let mut dx = Expected::default();
        let (mut d_gamma, mut d_beta) = (Expected::zeros(d), Expected::zeros(d));
        let (gamma, beta) = (wide(&self.gamma), wide(&self.beta));
        for (x, g) in self.x.chunks(d).zip(self.weight.chunks(d)) {
            let (x, g) = (wide(x), wide(g));
            let mean = x.iter().sum::<f64>() / d as f64;
            let var = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / d as f64;
            let r = 1.0 / (var + EPS).sqrt();
            let n: Vec<f64> = x.iter().map(|x| (x - mean) * r).collect();
            let level = (0..d).map(|i| g[i] * gamma[i]).sum::<f64>() / d as f64;
            let along = (0..d).map(|i| g[i] * gamma[i] * n[i]).sum::<f64>() / d as f64;
            let mean_is_exact = d == 1;
            let unsure = 1.0 + if mean_is_exact { 0.0 } else { r * largest(&x) };
            let steepest = (0..d).fold(0.0_f64, |m, i| m.max((g[i] * gamma[i]).abs()));
            for i in 0..d {
                y.push(
                    n[i] * gamma[i] + beta[i],
                    unsure * gamma[i].abs() + beta[i].abs(),
                );
                dx.push(
                    r * (g[i] * gamma[i] - level - n[i] * along),
                    r * steepest * unsure,
                );
                d_gamma.add(i, g[i] * n[i], g[i].abs() * unsure);
                d_beta.add(i, g[i], g[i].abs());
            }
        }
        [y, dx, d_gamma, d_beta]
    }

    /// The same from an implementation on tensors.
    fn run(&self, f: impl Fn(Tensor<2>, Tensor<1>, Tensor<1>) -> Tensor<2>) -> [Vec<f32>; 4] {
        let d = self.gamma.len();
        let shape = [self.x.len() / d, d];
        let x = tensor(&self.x, shape, &device()).require_grad();
        let gamma = tensor(&self.gamma, [d], &device()).require_grad();
        let beta = tensor(&self.beta, [d], &device()).require_grad();
        let y = f(x.clone(), gamma.clone(), beta.clone());
        let loss = (y.clone() * tensor(&self.weight, shape, &device())).sum();
        let grads = loss.backward();
        [
            values(y),
            values(x.grad(&grads).unwrap()),
            values(gamma.grad(&grads).unwrap()),
            values(beta.grad(&grads).unwrap()),
        ]
    }
}

#[track_caller]
fn assert_all_close(actual: &[Vec<f32>; 4], expected: &[Expected; 4]) {
    for (name, (actual, expected)) in ["y", "dx", "dgamma", "dbeta"]
        .iter()
        .zip(actual.iter().zip(expected))
    {
        assert_eq!(actual.len(), expected.values.len());
        for (i, a) in actual.iter().enumerate() {
            let (value, scale) = (expected.values[i], expected.scales[i]);
            let error = (f64::from(*a) - value).abs();
            assert!(
                error <= LAYER_NORM * scale,
                "{name} at {i}: {a} is not {value} (scale {scale})"
            );
        }
    }
}

fn assert_equals_f64_and_burn(rows: usize, d: usize, seed: u64) {
    for range in [1.0, 300.0] {
        let case = Case::new(rows, d, range, seed);
        let expected = case.reference();
        assert_all_close(&case.run(|x, g, b| layer_norm(x, g, b, EPS)), &expected);
        let burn = case.run(|x, g, b| module::layer_norm(x, g, Some(b), EPS));
        assert_all_close(&burn, &expected);
    }
}

proptest! {
    #[test]
    fn output_and_all_gradients_equal_f64_and_burn((rows, d) in rows_and_width(), seed: u64) {
        assert_equals_f64_and_burn(rows, d, seed);
    }
}

#[test]
fn two_values_in_a_row_cancel_in_the_gradient() {
    assert_equals_f64_and_burn(1, 2, 12_837_440_501_965_659_732);
}

#[test]
fn frozen_parameters_and_frozen_inputs_get_no_gradient() {
    let case = Case::new(5, 40, 1.0, 3);
    let [_, dx, d_gamma, _] = case.reference();
    let x = tensor(&case.x, [5, 40], &device());
    let (gamma, beta) = (
        tensor(&case.gamma, [40], &device()),
        tensor(&case.beta, [40], &device()),
    );
    let weight = tensor(&case.weight, [5, 40], &device());

    let tracked = x.clone().require_grad();
    let y = layer_norm(tracked.clone(), gamma.clone(), beta.clone(), EPS);
    let grads = (y * weight.clone()).sum().backward();
    assert_close(
        &values(tracked.grad(&grads).unwrap()),
        &dx.values,
        LAYER_NORM,
        LAYER_NORM,
    );
    assert!(gamma.grad(&grads).is_none());

    let gamma = gamma.require_grad();
    let grads = (layer_norm(x.clone(), gamma.clone(), beta.clone(), EPS) * weight)
        .sum()
        .backward();
    assert_close(
        &values(gamma.grad(&grads).unwrap()),
        &d_gamma.values,
        LAYER_NORM,
        LAYER_NORM,
    );
    assert!(x.grad(&grads).is_none() && beta.grad(&grads).is_none());
}

/// The gradient of the input with parameters that are frozen.
fn frozen(case: &Case) -> Vec<f32> {
    let d = case.gamma.len();
    let shape = [case.x.len() / d, d];
    let x = tensor(&case.x, shape, &device()).require_grad();
    let parameter = |values: &[f32]| tensor(values, [d], &device());
    let y = layer_norm(
        x.clone(),
        parameter(&case.gamma),
        parameter(&case.beta),
        EPS,
    );
    let grads = (y * tensor(&case.weight, shape, &device()))
        .sum()
        .backward();
    values(x.grad(&grads).unwrap())
}

#[track_caller]
fn assert_frozen_equals_f64(case: &Case, times: f64) {
    let [_, dx, ..] = case.reference();
    for (at, found) in frozen(case).iter().enumerate() {
        let error = (f64::from(*found) - dx.values[at]).abs();
        assert!(
            error <= times * LAYER_NORM * dx.scales[at],
            "{at}: {found} is not {} (scale {})",
            dx.values[at],
            dx.scales[at]
        );
    }
}

proptest! {
    #[test]
    fn gradients_through_frozen_norms_equal_f64((rows, d) in rows_and_width(), seed: u64) {
        for range in [1.0, 300.0] {
            let mut case = Case::new(rows, d, range, seed);
            assert_frozen_equals_f64(&case, 1.0);
            // Columns that are shifted far, and then some that are not scaled at all: their output says nothing of the input.
            case.beta[0] = 15.0 * case.gamma[0];
            assert_frozen_equals_f64(&case, 16.0);
            case.gamma[0] = 0.0;
            assert_frozen_equals_f64(&case, 1.0);
        }
    }
}

#[cfg(feature = "flex")]
#[test]
fn nothing_is_recorded_when_nothing_requires_gradients() {
    let ones = Tensor::<1>::ones([4], &device());
    let y = layer_norm(
        Tensor::<2>::ones([3, 4], &device()),
        ones.clone(),
        ones,
        EPS,
    );
    assert!(!crate::testing::is_tracked(y));
}

#[test]
fn gradients_do_not_depend_on_the_number_of_threads() {
    let case = Case::new(700, 33, 1.0, 8);
    let run = || case.run(|x, g, b| layer_norm(x, g, b, EPS));
    let single = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .unwrap();
    assert_eq!(run(), single.install(run));
}

#[test]
fn constant_rows_give_beta_and_nan_fills_its_row_and_no_other() {
    let mut x = vec![3.0_f32; 30];
    x[10..20].copy_from_slice(&noise(1, 10, 1.0));
    x[25] = f32::NAN;
    let beta = noise(2, 10, 1.0);
    let y = values(layer_norm(
        tensor(&x, [3, 10], &Device::flex()),
        Tensor::ones([10], &Device::flex()),
        tensor(&beta, [10], &Device::flex()),
        EPS,
    ));
    assert_close(&y[..10], &wide(&beta), LAYER_NORM, 0.0);
    assert!(y[10..20].iter().all(|v| v.is_finite()));
    assert!(y[20..].iter().all(|v| v.is_nan()));
}

#[test]
fn permuted_inputs_other_types_and_other_devices_work_too() {
    let case = Case::new(6, 8, 1.0, 4);
    let on = |device: &Device, dtype: DType| {
        let x = tensor(&case.x, [2, 8, 3], device)
            .permute([2, 0, 1])
            .cast(dtype);
        let gamma = tensor(&case.gamma, [8], device).cast(dtype);
        (x, gamma, tensor(&case.beta, [8], device).cast(dtype))
    };
    let (x, gamma, beta) = on(&Device::flex(), DType::F64);
    let double = layer_norm(x.clone(), gamma.clone(), beta.clone(), EPS);
    assert_eq!(double.dtype(), DType::F64);
    let expected = wide(&values(
        module::layer_norm(x, gamma, Some(beta), EPS).cast(DType::F32),
    ));
    assert_close(&values(double.cast(DType::F32)), &expected, LAYER_NORM, 0.0);
    for device in other_devices().into_iter().chain([Device::flex()]) {
        let (x, gamma, beta) = on(&device, DType::F32);
        let y = values(layer_norm(x, gamma, beta, EPS));
        assert_close(&y, &expected, LAYER_NORM, LAYER_NORM);
    }
}

#[test]
#[should_panic(expected = "x has rows of 8, gamma [7], beta [8]")]
fn parameters_of_another_width_are_refused() {
    let device = Device::flex();
    let x = Tensor::<2>::ones([3, 8], &device);
    let _ = layer_norm(
        x,
        Tensor::ones([7], &device),
        Tensor::ones([8], &device),
        EPS,
    );
}
