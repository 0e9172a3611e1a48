//! Gates against f64, against Burn's own, with frozen inputs, and at the edges.

use burn::tensor::{DType, Device, Tensor, activation};
use proptest::prelude::*;

use super::{Gate, gated};
use crate::testing::{
    GATED, ULP, assert_close, device, every_device, fused_devices, noise, range, rows_and_width,
    slack, tensor, values, wide,
};
#[cfg(feature = "cube")]
use crate::testing::{assert_runs, cube_device};

const GATES: [Gate; 2] = [Gate::Silu, Gate::GeluTanh];

fn silu_mul<const D: usize>(gate: Tensor<D>, up: Tensor<D>) -> Tensor<D> {
    gated(gate, up, Gate::Silu)
}

/// `a(x)` and `a'(x)`.
fn nonlinearity(by: Gate, x: f64) -> [f64; 2] {
    // `x Phi(x)`, `Phi = sigmoid(v)`, and the derivative of `v`.
    let (v, slope) = match by {
        Gate::Silu => (x, 1.0),
        Gate::GeluTanh => {
            let factor = 2.0 * (2.0 / std::f64::consts::PI).sqrt();
            let v = factor * (x + 0.044715 * x.powi(3));
            (v, factor * (1.0 + 3.0 * 0.044715 * x * x))
        }
    };
    let s = 1.0 / (1.0 + (-v).exp());
    let rest = 1.0 / (1.0 + v.exp());
    [x * s, s + x * s * rest * slope]
}

struct Case {
    shape: [usize; 2],
    gate: Vec<f32>,
    up: Vec<f32>,
    weight: Vec<f32>,
}

impl Case {
    fn new(shape: [usize; 2], range: f32, seed: u64) -> Self {
        let count = shape[0] * shape[1];
        Self {
            shape,
            gate: noise(seed, count, range),
            up: noise(seed ^ 1, count, 1.0),
            weight: noise(seed ^ 2, count, 1.0),
        }
    }

    /// `y`, and the gradients of `sum(y weight)` with respect to gate and up, in f64.
    fn reference(&self, by: Gate) -> [Vec<f64>; 3] {
        let mut all = [const { Vec::new() }; 3];
        let [gate, up, weight] = [&self.gate, &self.up, &self.weight].map(|v| wide(v));
        for ((x, up), g) in gate.iter().zip(&up).zip(&weight) {
            let [a, slope] = nonlinearity(by, *x);
            all[0].push(a * up);
            all[1].push(g * up * slope);
            all[2].push(g * a);
        }
        all
    }

    fn run(&self, device: &Device, f: impl Fn(Tensor<2>, Tensor<2>) -> Tensor<2>) -> [Vec<f32>; 3] {
        let [gate, up] =
            [&self.gate, &self.up].map(|v| tensor(v, self.shape, device).require_grad());
        let y = f(gate.clone(), up.clone());
        let grads = (y.clone() * tensor(&self.weight, self.shape, device))
            .sum()
            .backward();
        [
            values(y),
            values(gate.grad(&grads).unwrap()),
            values(up.grad(&grads).unwrap()),
        ]
    }
}

fn assert_all_close(actual: &[Vec<f32>; 3], expected: &[Vec<f64>; 3], slack: f64) {
    for (actual, expected) in actual.iter().zip(expected) {
        assert_close(actual, expected, slack * GATED, slack * 4.0 * ULP);
    }
}

proptest! {
    #[test]
    fn output_and_both_gradients_equal_f64_and_burn((rows, d) in rows_and_width(), range in range(), seed: u64) {
        let case = Case::new([rows, d], range, seed);
        for by in GATES {
            let expected = case.reference(by);
            for device in fused_devices() {
                let found = case.run(&device, |gate, up| gated(gate, up, by));
                assert_all_close(&found, &expected, slack(&device));
            }
        }
        let expected = case.reference(Gate::Silu);
        assert_all_close(&case.run(&device(), |gate, up| activation::silu(gate) * up), &expected, 1.0);
    }
}

#[test]
fn a_frozen_input_gets_no_gradient_and_a_shared_one_the_sum() {
    let case = Case::new([3, 50], 2.0, 1);
    let [_, d_gate, d_up] = case.reference(Gate::Silu);
    for device in fused_devices() {
        let slack = slack(&device);
        let (gate, up) = (
            tensor(&case.gate, case.shape, &device),
            tensor(&case.up, case.shape, &device),
        );
        let weight = tensor(&case.weight, case.shape, &device);
        for gate_trains in [true, false] {
            let gate = gate.clone().set_require_grad(gate_trains);
            let up = up.clone().set_require_grad(!gate_trains);
            let grads = (silu_mul(gate.clone(), up.clone()) * weight.clone())
                .sum()
                .backward();
            let (trained, frozen, expected) = match gate_trains {
                true => (gate, up, &d_gate),
                false => (up, gate, &d_up),
            };
            let found = values(trained.grad(&grads).unwrap());
            assert_close(&found, expected, slack * GATED, slack * 4.0 * ULP);
            assert!(frozen.grad(&grads).is_none());
        }
        let both = gate.require_grad();
        let grads = silu_mul(both.clone(), both.clone()).sum().backward();
        let expected = wide(&case.gate).into_iter().map(|x| {
            let s = 1.0 / (1.0 + (-x).exp());
            x * s * (2.0 + x * (1.0 - s))
        });
        let found = values(both.grad(&grads).unwrap());
        let expected: Vec<f64> = expected.collect();
        assert_close(&found, &expected, slack * 4.0 * GATED, slack * 4.0 * ULP);
    }
}

#[cfg(feature = "flex")]
#[test]
fn nothing_is_recorded_when_nothing_requires_gradients() {
    let ones = Tensor::<2>::ones([3, 4], &device());
    assert!(!crate::testing::is_tracked(silu_mul(ones.clone(), ones)));
}

#[test]
fn large_gates_saturate_and_nan_passes() {
    let gate = [-1e30, -90.0, 0.0, 90.0, f32::NAN, f32::INFINITY];
    for (device, by) in every_device()
        .into_iter()
        .flat_map(|device| GATES.map(|by| (device.clone(), by)))
    {
        let y = gated(
            tensor(&gate, [6], &device),
            Tensor::<1>::ones([6], &device),
            by,
        );
        let y = values(y);
        assert_eq!(&y[..4], [0.0, 0.0, 0.0, 90.0].map(|v: f32| v));
        assert!(y[4].is_nan() && y[5] == f32::INFINITY);
    }
}

#[test]
fn permuted_inputs_other_types_and_other_devices_work_too() {
    let case = Case::new([6, 8], 3.0, 4);
    let expected = &case.reference(Gate::Silu)[0];
    let on = |device: &Device, dtype: DType| {
        [&case.gate, &case.up].map(|v| {
            let permuted = tensor(v, case.shape, device).transpose();
            permuted.reshape([8, 6]).transpose().cast(dtype)
        })
    };
    let plain = |device: &Device| {
        let [gate, up] = [&case.gate, &case.up].map(|v| tensor(v, case.shape, device));
        silu_mul(gate.transpose(), up.transpose()).transpose()
    };
    for device in every_device() {
        let slack = slack(&device);
        let y = values(plain(&device));
        assert_close(&y, expected, slack * GATED, slack * 4.0 * ULP);
    }
    let [gate, up] = on(&Device::flex(), DType::F64);
    assert_eq!(silu_mul(gate, up).dtype(), DType::F64);
}

#[cfg(feature = "cube")]
#[test]
fn the_kernels_of_cubecl_run() {
    let Some(device) = cube_device() else { return };
    let case = Case::new([3, 5], 1.0, 7);
    assert_runs(&["silu mul on cube", "silu mul backward on cube"], || {
        case.run(&device.autodiff(), silu_mul);
    });
}

#[test]
#[should_panic(expected = "one shape")]
fn inputs_of_two_shapes_are_refused() {
    let device = Device::flex();
    let _ = silu_mul(
        Tensor::<2>::ones([2, 3], &device),
        Tensor::ones([3, 2], &device),
    );
}
