//! The norm against f64.

use burn::tensor::Tensor;

use super::SquaredNorm;
use crate::testing::{assert_close, every_device, noise, slack, tensor, values, wide};

/// Sums of some ten thousand squares in f32.
const RELATIVE: f64 = 2e-6;

#[test]
fn the_norm_of_many_tensors_is_that_of_all_their_values() {
    for device in every_device() {
        let mut norm = SquaredNorm::of(5, &device);
        let mut expected = 0.0;
        for (at, shape) in [[1, 1], [3, 7], [97, 131], [1, 30_011]]
            .into_iter()
            .enumerate()
        {
            let x = noise(at as u64, shape[0] * shape[1], 2.0);
            expected += wide(&x).iter().map(|x| x * x).sum::<f64>();
            // Turned, and with a graph: neither is of any account.
            let x = tensor(&x, shape, &device).transpose();
            norm = norm.with(if at == 2 { x.autodiff() } else { x });
        }
        let x = noise(9, 40, 1.0);
        expected += wide(&x).iter().map(|x| x * x).sum::<f64>();
        norm = norm.with(Tensor::<1>::from_data(&*x, &device).autodiff());
        let found = values(norm.norm().unwrap());
        let slack = slack(&device);
        assert_close(&found, &[expected.sqrt()], 0.0, slack * RELATIVE);
    }
}

#[test]
fn nothing_has_no_norm_and_nan_comes_through() {
    for device in every_device() {
        assert!(SquaredNorm::of(3, &device).norm().is_none());
        let x = tensor(&[1.0, f32::NAN], [1, 2], &device);
        let norm = SquaredNorm::of(3, &device).with(x).norm();
        assert!(values(norm.unwrap())[0].is_nan());
    }
}
