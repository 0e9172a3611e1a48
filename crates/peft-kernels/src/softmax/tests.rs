//! Softmax against f64, against Burn's own, with biases of every broadcast shape, and at the edges.

use burn::tensor::{DType, Device, Tensor, activation};
use proptest::prelude::*;

use super::{attention_softmax, softmax_last};
use crate::testing::{
    SOFTMAX, assert_close, device, noise, other_devices, range, rows_and_width, tensor, values,
    wide, with_gradient,
};

/// What a mask adds to the scores of padding.
const MASKED: f32 = -1e9;

/// Softmax of one row of logits and the gradient of `sum(y weight)` with respect to them.
fn reference(logits: &[f64], weight: &[f32]) -> (Vec<f64>, Vec<f64>) {
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let e: Vec<f64> = logits.iter().map(|z| (z - largest).exp()).collect();
    let total: f64 = e.iter().sum();
    let y: Vec<f64> = e.iter().map(|e| e / total).collect();
    let mean: f64 = y.iter().zip(weight).map(|(y, w)| y * f64::from(*w)).sum();
    let grad = y
        .iter()
        .zip(weight)
        .map(|(y, w)| y * (f64::from(*w) - mean));
    (y.clone(), grad.collect())
}

proptest! {
    #[test]
    fn rows_equal_f64_and_burn((rows, d) in rows_and_width(), range in range(), seed: u64) {
        let x = noise(seed, rows * d, range);
        let weight = noise(seed ^ 1, rows * d, 2.0);
        let (mut expected, mut expected_grad) = (Vec::new(), Vec::new());
        for (x, weight) in x.chunks(d).zip(weight.chunks(d)) {
            let (y, grad) = reference(&wide(x), weight);
            expected.extend(y);
            expected_grad.extend(grad);
        }
        let inputs = || (tensor(&x, [rows, d], &device()), tensor(&weight, [rows, d], &device()));
        for f in [softmax_last::<2>, |x| activation::softmax(x, 1)] {
            let (y, grad) = with_gradient(inputs().0, inputs().1, f);
            assert_close(&y, &expected, SOFTMAX, 0.0);
            assert_close(&grad, &expected_grad, SOFTMAX, 0.0);
        }
    }

    #[test]
    fn every_broadcast_of_the_bias_equals_burn(
        (batch, heads, queries, keys) in (1_usize..4, 1_usize..4, 1_usize..5, 1_usize..40),
        shared in prop::array::uniform3(any::<bool>()),
        scale in 0.05_f64..2.0,
        seed: u64,
    ) {
        let shape = [batch, heads, queries, keys];
        let count = shape.iter().product();
        let x = tensor(&noise(seed, count, 4.0), shape, &device());
        let weight = tensor(&noise(seed ^ 1, count, 2.0), shape, &device());
        let mut bias_shape = shape;
        for (axis, _) in shared.iter().enumerate().filter(|(_, shared)| **shared) {
            bias_shape[axis] = 1;
        }
        let mask = noise(seed ^ 2, bias_shape.iter().product(), 1.0);
        let mask: Vec<f32> = mask.iter().map(|v| if *v < 0.0 { MASKED } else { *v }).collect();
        let bias = tensor(&mask, bias_shape, &device());
        let burn = |x: Tensor<4>| activation::softmax(x.mul_scalar(scale) + bias.clone(), 3);
        let (expected, expected_grad) = with_gradient(x.clone(), weight.clone(), burn);
        let fused = |x: Tensor<4>| attention_softmax(x, scale, Some(bias.clone()));
        let (y, grad) = with_gradient(x, weight, fused);
        assert_close(&y, &wide(&expected), SOFTMAX, 0.0);
        assert_close(&grad, &wide(&expected_grad), SOFTMAX, 0.0);
    }
}

#[test]
fn a_scale_without_a_bias_reaches_the_output_and_the_gradient() {
    let shape = [2, 3, 4, 33];
    let x = tensor(&noise(1, 792, 4.0), shape, &device());
    let weight = tensor(&noise(2, 792, 2.0), shape, &device());
    let burn = |x: Tensor<4>| activation::softmax(x.mul_scalar(0.3), 3);
    let (expected, expected_grad) = with_gradient(x.clone(), weight.clone(), burn);
    let (y, grad) = with_gradient(x, weight, |x| attention_softmax(x, 0.3, None));
    assert_close(&y, &wide(&expected), SOFTMAX, 0.0);
    assert_close(&grad, &wide(&expected_grad), SOFTMAX, 0.0);
}

#[test]
fn masked_keys_get_nothing_and_masked_rows_stay_finite() {
    let x = tensor(&noise(4, 2 * 20, 5.0), [2, 1, 1, 20], &device());
    let mut mask = vec![0.0; 40];
    mask[11..20].fill(f32::NEG_INFINITY);
    mask[20..].fill(MASKED);
    let y = values(attention_softmax(
        x,
        1.0,
        Some(tensor(&mask, [2, 1, 1, 20], &device())),
    ));
    assert!(y[11..20].iter().all(|v| *v == 0.0));
    for row in y.chunks(20) {
        assert!((f64::from(row.iter().sum::<f32>()) - 1.0).abs() < SOFTMAX);
    }
}

#[test]
fn nan_fills_its_row_and_no_other() {
    let mut x = noise(4, 3 * 21, 1.0);
    x[21 + 5] = f32::NAN;
    x[42..].fill(f32::NEG_INFINITY);
    let y = values(softmax_last(tensor(&x, [3, 21], &device())));
    assert!(y[..21].iter().all(|v| v.is_finite()));
    assert!(y[21..].iter().all(|v| v.is_nan()));
}

#[test]
fn the_bias_is_a_constant() {
    let x = tensor(&noise(1, 8, 1.0), [1, 1, 2, 4], &device()).require_grad();
    let bias = tensor(&noise(2, 8, 1.0), [1, 1, 2, 4], &device()).require_grad();
    let y = attention_softmax(x.clone(), 1.0, Some(bias.clone()));
    let grads = (y.clone() * y).sum().backward();
    assert!(x.grad(&grads).is_some());
    assert!(bias.grad(&grads).is_none());
}

#[test]
fn permuted_scores_other_types_and_other_devices_work_too() {
    let data = noise(9, 2 * 3 * 4 * 5, 3.0);
    let on = |device: &Device| tensor(&data, [2, 3, 4, 5], device).permute([3, 0, 2, 1]);
    let expected = wide(&values(activation::softmax(on(&Device::flex()), 3)));
    assert_close(
        &values(softmax_last(on(&Device::flex()))),
        &expected,
        SOFTMAX,
        0.0,
    );
    let double = softmax_last(on(&Device::flex()).cast(DType::F64));
    assert_eq!(double.dtype(), DType::F64);
    assert_close(&values(double.cast(DType::F32)), &expected, SOFTMAX, 0.0);
    for device in other_devices() {
        assert_close(&values(softmax_last(on(&device))), &expected, SOFTMAX, 0.0);
        let bias = Tensor::<4>::zeros([1, 1, 1, 3], &device);
        let y = attention_softmax(on(&device), 1.0, Some(bias));
        assert_close(&values(y), &expected, SOFTMAX, 0.0);
    }
}

#[test]
fn the_input_of_a_caller_is_not_changed() {
    let data = noise(9, 64, 3.0);
    let x = tensor(&data, [4, 16], &Device::flex());
    let _ = softmax_last(x.clone());
    assert_eq!(values(x), data);
}
