//! Scaled columns against f64, whatever is kept, and beside a bias that trains.

use burn::tensor::{Device, Tensor};
use proptest::prelude::*;

use super::{Keep, scale_columns};
use crate::testing::{
    assert_close, device, noise, other_devices, rows_and_width, tensor, values, wide,
};

/// Sums of up to 300 products near 1.
const ABSOLUTE: f64 = 2e-4;
const RELATIVE: f64 = 2e-6;

struct Case {
    d: usize,
    x: Vec<f32>,
    scales: Vec<f32>,
    bias: Vec<f32>,
    weight: Vec<f32>,
}

impl Case {
    /// Factors between `low` and `low + 1`.
    fn new(rows: usize, d: usize, low: f32, seed: u64) -> Self {
        Self {
            d,
            x: noise(seed, rows * d, 1.0),
            scales: noise(seed ^ 1, d, 0.5)
                .iter()
                .map(|v| v + 0.5 + low)
                .collect(),
            bias: noise(seed ^ 2, d, 1.0),
            weight: noise(seed ^ 3, rows * d, 1.0),
        }
    }

    /// `y`, and the gradients of `sum(y weight)` with respect to `x` and the factors, in f64.
    fn reference(&self) -> [Vec<f64>; 3] {
        let (scales, bias) = (wide(&self.scales), wide(&self.bias));
        let mut d_scales = vec![0.0; self.d];
        let (mut y, mut dx) = (Vec::new(), Vec::new());
        for (x, g) in self.x.chunks(self.d).zip(self.weight.chunks(self.d)) {
            for i in 0..self.d {
                let (x, g) = (f64::from(x[i]), f64::from(g[i]));
                y.push(x * scales[i] + bias[i]);
                dx.push(g * scales[i]);
                d_scales[i] += g * x;
            }
        }
        [y, dx, d_scales]
    }

    fn run(&self, device: &Device, keep: Keep) -> [Vec<f32>; 3] {
        let rows = self.x.len() / self.d;
        let x = tensor(&self.x, [rows, self.d], device).require_grad();
        let scales = tensor(&self.scales, [self.d], device).require_grad();
        let bias = tensor(&self.bias, [self.d], device);
        let y = scale_columns(x.clone(), scales.clone(), Some(bias), keep);
        let weight = tensor(&self.weight, [rows, self.d], device);
        let grads = (y.clone() * weight).sum().backward();
        let gradient = |of: Option<Vec<f32>>| of.expect("a gradient");
        [
            values(y),
            gradient(x.grad(&grads).map(values)),
            gradient(scales.grad(&grads).map(values)),
        ]
    }

    fn check(&self, device: &Device) {
        for keep in [Keep::Input, Keep::Output] {
            for (actual, expected) in self.run(device, keep).iter().zip(&self.reference()) {
                assert_close(actual, expected, ABSOLUTE, RELATIVE);
            }
        }
    }
}

proptest! {
    #[test]
    fn output_and_gradients_are_those_of_the_formula(
        (rows, d) in rows_and_width(), seed: u64,
    ) {
        Case::new(rows, d, 0.1, seed).check(&device());
        Case::new(rows, d, -1.1, seed).check(&device());
    }

    #[test]
    fn factors_near_zero_lose_no_digits(
        (rows, d) in rows_and_width(), seed: u64,
    ) {
        let mut case = Case::new(rows, d, -0.5, seed);
        case.scales[0] = 0.0;
        case.check(&device());
    }
}

#[test]
fn other_backends_agree() {
    for device in other_devices() {
        Case::new(7, 12, 0.1, 3).check(&device.autodiff());
    }
}

#[test]
fn a_bias_that_trains_has_the_sum_of_the_gradient() {
    let case = Case::new(9, 5, 0.1, 4);
    let device = device();
    let bias = tensor(&case.bias, [5], &device).require_grad();
    let x = tensor(&case.x, [9, 5], &device);
    let y = scale_columns(
        x,
        tensor(&case.scales, [5], &device),
        Some(bias.clone()),
        Keep::Output,
    );
    let weight = tensor(&case.weight, [9, 5], &device);
    let grads = (y.clone() * weight).sum().backward();
    assert_close(&values(y), &case.reference()[0], ABSOLUTE, RELATIVE);
    let sums = (0..5).map(|i| {
        case.weight
            .iter()
            .skip(i)
            .step_by(5)
            .map(|g| f64::from(*g))
            .sum()
    });
    let sums: Vec<f64> = sums.collect();
    let grad = values(bias.grad(&grads).expect("a gradient"));
    assert_close(&grad, &sums, ABSOLUTE, RELATIVE);
}

#[test]
fn a_gradient_that_somebody_else_holds_stays_as_it_is() {
    let case = Case::new(9, 5, 0.1, 5);
    let device = device();
    let x = tensor(&case.x, [9, 5], &device).require_grad();
    let scales = tensor(&case.scales, [5], &device).require_grad();
    let y = scale_columns(x.clone(), scales.clone(), None, Keep::Output);
    // Both summands hand the same gradient down.
    let other = tensor(&case.x, [9, 5], &device).require_grad();
    let weight = tensor(&case.weight, [9, 5], &device);
    let grads = ((y + other.clone()) * weight).sum().backward();
    let untouched = values(other.grad(&grads).expect("a gradient"));
    assert_close(&untouched, &wide(&case.weight), 0.0, 0.0);
    let grad = values(x.grad(&grads).expect("a gradient"));
    assert_close(&grad, &case.reference()[1], ABSOLUTE, RELATIVE);
}

#[test]
fn a_transposed_input_and_no_rows_are_fine() {
    let device = Device::default();
    let x = Tensor::<2>::from_floats([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], &device).transpose();
    let scales = Tensor::<1>::from_floats([2.0, 10.0], &device);
    let y = scale_columns(x, scales.clone(), None, Keep::Output);
    assert_eq!(values(y), [2.0, 40.0, 4.0, 50.0, 6.0, 60.0]);
    let none = scale_columns(Tensor::zeros([0, 2], &device), scales, None, Keep::Input);
    assert_eq!(none.dims(), [0, 2]);
}
