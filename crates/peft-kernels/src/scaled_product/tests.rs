//! Products with scaled inputs against f64, with more and with fewer rows than outputs.

use burn::tensor::{Device, Tensor};
use proptest::prelude::*;

use super::scaled_product;
use crate::testing::{assert_close, device, noise, other_devices, tensor, values};

/// Sums of up to 100 products near 1.
const ABSOLUTE: f64 = 5e-5;
const RELATIVE: f64 = 5e-6;

struct Case {
    sizes: [usize; 3],
    x: Vec<f32>,
    scales: Vec<f32>,
    weight: Vec<f32>,
    cotangent: Vec<f32>,
}

impl Case {
    fn new(rows: usize, d_in: usize, d_out: usize, seed: u64) -> Self {
        Self {
            sizes: [rows, d_in, d_out],
            x: noise(seed, rows * d_in, 1.0),
            scales: noise(seed ^ 1, d_in, 2.0),
            weight: noise(seed ^ 2, d_in * d_out, 1.0),
            cotangent: noise(seed ^ 3, rows * d_out, 1.0),
        }
    }

    /// `y`, and the gradients of `sum(y cotangent)` with respect to `x` and the factors, in f64.
    fn reference(&self) -> [Vec<f64>; 3] {
        let [rows, d_in, d_out] = self.sizes;
        let mut y = vec![0.0; rows * d_out];
        let (mut dx, mut d_scales) = (vec![0.0; rows * d_in], vec![0.0; d_in]);
        for r in 0..rows {
            for i in 0..d_in {
                let (x, c) = (f64::from(self.x[r * d_in + i]), f64::from(self.scales[i]));
                let mut through = 0.0;
                for o in 0..d_out {
                    let w = f64::from(self.weight[i * d_out + o]);
                    y[r * d_out + o] += x * c * w;
                    through += f64::from(self.cotangent[r * d_out + o]) * w;
                }
                dx[r * d_in + i] = through * c;
                d_scales[i] += through * x;
            }
        }
        [y, dx, d_scales]
    }

    /// Checks both ways of the backward: with an input that others hold, and with one that is free to be written over.
    fn check(&self, device: &Device) {
        self.check_with(device, |x| x.clone());
        self.check_with(device, |x| x.clone().mul_scalar(1.0));
    }

    fn check_with(&self, device: &Device, input: impl Fn(&Tensor<2>) -> Tensor<2>) {
        let [rows, d_in, d_out] = self.sizes;
        let x = tensor(&self.x, [rows, d_in], device).require_grad();
        let scales = tensor(&self.scales, [d_in], device).require_grad();
        let weight = tensor(&self.weight, [d_in, d_out], device);
        let y = scaled_product(input(&x), scales.clone(), weight);
        let cotangent = tensor(&self.cotangent, [rows, d_out], device);
        let grads = (y.clone() * cotangent).sum().backward();
        let actual = [
            values(y),
            values(x.grad(&grads).expect("a gradient")),
            values(scales.grad(&grads).expect("a gradient")),
        ];
        for (actual, expected) in actual.iter().zip(&self.reference()) {
            assert_close(actual, expected, ABSOLUTE, RELATIVE);
        }
    }
}

proptest! {
    #[test]
    fn output_and_gradients_are_those_of_the_formula(
        rows in 1_usize..100, d_in in 1_usize..40, d_out in 1_usize..40, seed: u64,
    ) {
        Case::new(rows, d_in, d_out, seed).check(&device());
    }
}

#[test]
fn many_rows_are_written_over_in_parts() {
    Case::new(1100, 9, 4, 5).check(&device());
}

#[test]
fn other_backends_agree() {
    for device in other_devices() {
        Case::new(7, 12, 5, 3).check(&device.autodiff());
    }
}

#[test]
fn a_weight_that_trains_has_its_gradient() {
    let device = device();
    let weight = Tensor::<2>::ones([2, 1], &device).require_grad();
    let x = Tensor::from_floats([[3.0, 5.0]], &device);
    let y = scaled_product(x, Tensor::from_floats([2.0, 10.0], &device), weight.clone());
    let grads = y.sum().backward();
    assert_eq!(
        values(weight.grad(&grads).expect("a gradient")),
        [6.0, 50.0]
    );
}
