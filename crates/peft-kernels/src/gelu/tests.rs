//! GELU against f64, against Burn's own, and at the edges.

use burn::tensor::{DType, Device, Tensor, activation};
use proptest::prelude::*;

use super::{gelu, gelu_tanh};
use crate::testing::{
    GELU, GELU_SLOPE, ULP, assert_close, device, noise, other_devices, range, rows_and_width,
    tensor, values, wide, with_gradient,
};

const INV_SQRT_2_PI: f64 = 0.398_942_280_401_432_7;
const SQRT_2_OVER_PI: f64 = 0.797_884_560_802_865_4;

/// `(gelu(x), gelu'(x))`.
fn exact(x: f64) -> (f64, f64) {
    let phi = 0.5 * libm::erfc(-x / std::f64::consts::SQRT_2);
    (x * phi, phi + x * INV_SQRT_2_PI * (-0.5 * x * x).exp())
}

/// `(gelu_tanh(x), gelu_tanh'(x))`.
fn by_tanh(x: f64) -> (f64, f64) {
    let t = (SQRT_2_OVER_PI * (x + 0.044_715 * x.powi(3))).tanh();
    let slope = SQRT_2_OVER_PI * (1.0 + 3.0 * 0.044_715 * x * x);
    (
        0.5 * x * (1.0 + t),
        0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * slope,
    )
}

#[test]
fn gelu_is_within_its_stated_error_over_the_whole_range() {
    let x: Vec<f32> = (-200_000..200_000).map(|i| i as f32 * 1e-4).collect();
    let n = x.len();
    let (reference, slope): (Vec<f64>, Vec<f64>) = x.iter().map(|x| exact(f64::from(*x))).unzip();
    let ones = Tensor::<1>::ones([n], &device());
    let (y, grad) = with_gradient(tensor(&x, [n], &device()), ones, gelu);
    assert_close(&y, &reference, GELU, ULP);
    assert_close(&grad, &slope, GELU_SLOPE, 0.0);
}

/// The fused form, Burn's own, and `(value, derivative)` in f64.
type Case = (
    fn(Tensor<2>) -> Tensor<2>,
    fn(Tensor<2>) -> Tensor<2>,
    fn(f64) -> (f64, f64),
);

proptest! {
    #[test]
    fn both_forms_equal_f64_and_burn((rows, d) in rows_and_width(), range in range(), seed: u64) {
        let x = noise(seed, rows * d, range);
        let weight = noise(seed ^ 1, rows * d, 1.0);
        let x_tensor = tensor(&x, [rows, d], &device());
        let weight_tensor = tensor(&weight, [rows, d], &device());
        let forms: [Case; 2] =
            [(gelu, activation::gelu, exact), (gelu_tanh, activation::gelu_approximate, by_tanh)];
        for (fused, burn, reference) in forms {
            let (y, grad) = with_gradient(x_tensor.clone(), weight_tensor.clone(), fused);
            let (values, slopes): (Vec<f64>, Vec<f64>) = x.iter().map(|x| reference(f64::from(*x))).unzip();
            let expected: Vec<f64> = slopes.iter().zip(&weight).map(|(s, w)| s * f64::from(*w)).collect();
            assert_close(&y, &values, GELU, ULP);
            assert_close(&grad, &expected, GELU_SLOPE, ULP);
            let (y, grad) = with_gradient(x_tensor.clone(), weight_tensor.clone(), burn);
            assert_close(&y, &values, GELU, ULP);
            assert_close(&grad, &expected, 2.0 * GELU_SLOPE, ULP);
        }
    }
}

#[test]
fn extreme_values_and_nan_come_out_as_the_formula_says() {
    let x = tensor(
        &[f32::NAN, f32::INFINITY, -1e30, 1e30, 0.0, -0.0],
        [6],
        &device(),
    );
    let ones = Tensor::<1>::ones([6], &device());
    for form in [gelu::<1>, gelu_tanh::<1>] {
        let (y, grad) = with_gradient(x.clone(), ones.clone(), form);
        assert!(y[0].is_nan() && grad[0].is_nan());
        assert_eq!(y[1..], [f32::INFINITY, 0.0, 1e30, 0.0, 0.0]);
        assert_eq!(grad[2..], [0.0, 1.0, 0.5, 0.5]);
    }
}

#[test]
fn transposed_sliced_and_shared_inputs_are_read_in_logical_order() {
    let data = noise(7, 12 * 9, 3.0);
    let x = tensor(&data, [12, 9], &Device::flex());
    let transposed = x.clone().transpose();
    let expected = values(activation::gelu(transposed.clone()));
    assert_close(&values(gelu(transposed)), &wide(&expected), GELU, ULP);
    let slice = x.clone().slice([3..8, 2..7]);
    let expected = values(activation::gelu(slice.clone()));
    assert_close(&values(gelu(slice)), &wide(&expected), GELU, ULP);
    assert_eq!(values(x), data, "the input was changed");
}

#[test]
fn other_types_ranks_and_devices_work_too() {
    let data = noise(3, 24, 3.0);
    let expected: Vec<f64> = data.iter().map(|x| exact(f64::from(*x)).0).collect();
    let half = tensor(&data, [24], &Device::flex()).cast(DType::F64);
    let y = gelu(half);
    assert_eq!(y.dtype(), DType::F64);
    assert_close(&values(y.cast(DType::F32)), &expected, GELU, ULP);
    let y = gelu(tensor(&data, [2, 3, 1, 4], &Device::flex()));
    assert_eq!(y.dims(), [2, 3, 1, 4]);
    assert_close(&values(y), &expected, GELU, ULP);
    let slopes: Vec<f64> = data.iter().map(|x| exact(f64::from(*x)).1).collect();
    for device in other_devices() {
        assert_close(
            &values(gelu(tensor(&data, [24], &device))),
            &expected,
            GELU,
            ULP,
        );
        let x = tensor(&data, [24], &device.autodiff());
        let (_, grad) = with_gradient(x.clone(), x.ones_like(), gelu);
        assert_close(&grad, &slopes, GELU_SLOPE, ULP);
    }
    assert_eq!(
        gelu(Tensor::<2>::zeros([0, 5], &Device::flex())).dims(),
        [0, 5]
    );
}

#[cfg(feature = "flex")]
#[test]
fn only_inputs_that_require_gradients_enter_the_graph() {
    let x = tensor(&[1.0, 2.0], [2], &device());
    assert!(!crate::testing::is_tracked(gelu(x.clone())));
    assert!(crate::testing::is_tracked(gelu(x.require_grad())));
}

#[test]
fn checkpointed_graphs_give_the_same_gradients() {
    let data = noise(5, 30, 2.0);
    let plain = tensor(&data, [30], &device());
    let balanced = tensor(
        &data,
        [30],
        &Device::flex().autodiff().gradient_checkpointing(),
    );
    let f = |x: Tensor<1>| gelu(gelu(x.exp()).sin());
    let (_, expected) = with_gradient(plain.clone(), plain.ones_like(), f);
    let (_, actual) = with_gradient(balanced.clone(), balanced.ones_like(), f);
    assert_eq!(actual, expected);
}
