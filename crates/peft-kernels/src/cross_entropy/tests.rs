//! Cross entropy against f64, against Burn's own, on other devices, and at the edges.

use burn::nn::loss::CrossEntropyLossConfig;
use burn::tensor::{Device, Int, Tensor, TensorData};
use proptest::prelude::*;

use super::cross_entropy;
use crate::testing::{
    CROSS_ENTROPY, assert_close, every_device, fused_devices, noise, other_devices, range,
    rows_and_width, slack, tensor, values, wide,
};
#[cfg(feature = "cube")]
use crate::testing::{assert_runs, cube_device};

struct Case {
    scores: Vec<f32>,
    targets: Vec<u32>,
    /// What every row's loss counts.
    weight: Vec<f32>,
    classes: usize,
}

impl Case {
    fn new(rows: usize, classes: usize, range: f32, seed: u64) -> Self {
        Self {
            scores: noise(seed, rows * classes, range),
            targets: (0..rows)
                .map(|row| (crate::derive_seed(seed, row as u64) % classes as u64) as u32)
                .collect(),
            weight: noise(seed ^ 1, rows, 2.0),
            classes,
        }
    }

    /// Losses, and the gradient of `sum(loss weight)` with respect to the scores, in f64.
    fn reference(&self) -> [Vec<f64>; 2] {
        let (mut losses, mut grads) = (Vec::new(), Vec::new());
        let rows = self.scores.chunks(self.classes).zip(&self.targets);
        for ((row, target), weight) in rows.zip(&self.weight) {
            let row = wide(row);
            let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let total: f64 = row.iter().map(|x| (x - largest).exp()).sum();
            let target = *target as usize;
            losses.push(total.ln() + largest - row[target]);
            grads.extend(row.iter().enumerate().map(|(j, x)| {
                let hit = if j == target { 1.0 } else { 0.0 };
                f64::from(*weight) * ((x - largest).exp() / total - hit)
            }));
        }
        [losses, grads]
    }

    fn check(&self, device: &Device) {
        let rows = self.targets.len();
        let scores = tensor(&self.scores, [rows, self.classes], device).require_grad();
        // Once with scores that somebody else holds, and once with ones that can be written over.
        for free in [false, true] {
            let input = if free {
                scores.clone().mul_scalar(1.0)
            } else {
                scores.clone()
            };
            let losses = cross_entropy(input, &self.targets);
            let weight =
                Tensor::<1>::from_data(TensorData::new(self.weight.clone(), [rows]), device);
            let grads = (losses.clone() * weight).sum().backward();
            let [expected, expected_grad] = self.reference();
            let relative = slack(device) * CROSS_ENTROPY;
            assert_close(&values(losses), &expected, relative * 100.0, relative);
            let grad = values(scores.grad(&grads).expect("a gradient"));
            assert_close(&grad, &expected_grad, relative, 10.0 * relative);
        }
    }
}

proptest! {
    #[test]
    fn losses_and_gradients_are_those_of_the_formula(
        (rows, classes) in rows_and_width(), range in range(), seed: u64,
    ) {
        for device in fused_devices() {
            Case::new(rows, classes, range, seed).check(&device);
        }
    }
}

#[test]
fn other_backends_agree() {
    for device in other_devices() {
        Case::new(5, 9, 6.0, 2).check(&device.autodiff());
    }
}

#[test]
fn the_mean_is_burns_loss() {
    let case = Case::new(6, 50, 6.0, 4);
    let scores = || tensor(&case.scores, [6, 50], &Device::flex());
    let targets: Vec<i64> = case
        .targets
        .iter()
        .map(|target| i64::from(*target))
        .collect();
    let targets = Tensor::<1, Int>::from_data(TensorData::new(targets, [6]), &Device::flex());
    let burn = CrossEntropyLossConfig::new()
        .init(&Device::flex())
        .forward(scores(), targets);
    let ours = cross_entropy(scores(), &case.targets).mean();
    assert_close(&values(ours), &wide(&values(burn)), 1e-6, 1e-6);
}

#[test]
fn a_hopeless_target_has_a_finite_loss_and_nan_stays_in_its_row() {
    let scores = [0.0, 200.0, 1.0, f32::NAN, 3.0, 3.0];
    for device in every_device() {
        let scores = tensor(&scores, [3, 2], &device);
        let losses = values(cross_entropy(scores, &[0, 0, 1]));
        assert!((losses[0] - 200.0).abs() < 1e-3 && losses[1].is_nan());
        assert!((losses[2] - 2.0_f32.ln()).abs() < 1e-6);
    }
}

#[cfg(feature = "cube")]
#[test]
fn the_kernels_of_cubecl_run() {
    let Some(device) = cube_device() else { return };
    let kernels = ["cross entropy on cube", "cross entropy backward on cube"];
    assert_runs(&kernels, || {
        Case::new(3, 9, 6.0, 2).check(&device.autodiff())
    });
}

#[test]
#[should_panic(expected = "2 rows of 3 scores, 1 targets")]
fn a_target_for_every_row_is_asked_for() {
    let _ = cross_entropy(Tensor::ones([2, 3], &Device::flex()), &[0]);
}
