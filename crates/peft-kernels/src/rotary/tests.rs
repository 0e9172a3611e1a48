//! Rotations against f64 and the composition, their gradients, and at the edges.

use burn::tensor::{DType, Device, Tensor};
use proptest::prelude::*;

use super::rotary;
use crate::testing::{
    ROTARY, assert_close, device, every_device, fused_devices, noise, other_devices, tensor,
    values, with_gradient,
};
#[cfg(feature = "cube")]
use crate::testing::{assert_runs, cube_device};

struct Case {
    /// batch, heads, seq, d
    shape: [usize; 4],
    /// batch or 1
    angle_rows: usize,
    x: Vec<f32>,
    weight: Vec<f32>,
    angles: Vec<f32>,
}

impl Case {
    fn new(shape: [usize; 4], shared: bool, seed: u64) -> Self {
        let angle_rows = if shared { 1 } else { shape[0] };
        let count = shape.iter().product();
        Self {
            shape,
            angle_rows,
            x: noise(seed, count, 3.0),
            weight: noise(seed ^ 1, count, 1.0),
            angles: noise(seed ^ 2, angle_rows * shape[2] * shape[3] / 2, 7.0),
        }
    }

    fn cos_sin(&self, device: &Device) -> [Tensor<4>; 2] {
        let shape = [self.angle_rows, 1, self.shape[2], self.shape[3] / 2];
        [f32::cos, f32::sin].map(|f| {
            let values: Vec<f32> = self.angles.iter().map(|angle| f(*angle)).collect();
            tensor(&values, shape, device)
        })
    }

    /// `values` turned by the angles times `sign`, in f64.
    fn turned(&self, values: &[f32], sign: f64) -> Vec<f64> {
        let [_, heads, seq, d] = self.shape;
        let mut turned = vec![0.0; values.len()];
        for (row, x) in values.chunks(d).enumerate() {
            let batch = if self.angle_rows == 1 {
                0
            } else {
                row / (heads * seq)
            };
            for j in 0..d / 2 {
                let angle = self.angles[(batch * seq + row % seq) * d / 2 + j];
                let (cos, sin) = (f64::from(angle.cos()), sign * f64::from(angle.sin()));
                let (a, b) = (f64::from(x[j]), f64::from(x[j + d / 2]));
                turned[row * d + j] = a * cos - b * sin;
                turned[row * d + j + d / 2] = b * cos + a * sin;
            }
        }
        turned
    }

    /// Values of the shape of the heads, in memory with those of a token side by side where asked.
    fn laid(&self, values: &[f32], by_token: bool, device: &Device) -> Tensor<4> {
        let [batch, heads, seq, d] = self.shape;
        let x = tensor(values, self.shape, device);
        match by_token {
            true => (x.swap_dims(1, 2).reshape([batch, seq, heads, d])).swap_dims(1, 2),
            false => x,
        }
    }

    /// Output and gradient of `sum(y weight)`.
    fn run(&self, by_token: bool, device: &Device) -> (Vec<f32>, Vec<f32>) {
        let [cos, sin] = self.cos_sin(device);
        let [x, weight] = [&self.x, &self.weight].map(|x| self.laid(x, by_token, device));
        with_gradient(x, weight, |x| rotary(x, cos.clone(), sin.clone()))
    }

    /// Compares both on every device with kernels.
    fn check(&self) {
        for device in fused_devices() {
            for by_token in [false, true] {
                let (y, gradient) = self.run(by_token, &device);
                assert_close(&y, &self.turned(&self.x, 1.0), ROTARY, ROTARY);
                assert_close(&gradient, &self.turned(&self.weight, -1.0), ROTARY, ROTARY);
            }
        }
    }
}

proptest! {
    #[test]
    fn output_and_gradient_equal_f64(batch in 1_usize..4, heads in 1_usize..4, seq in 1_usize..9, half in 1_usize..20, shared: bool, seed: u64) {
        Case::new([batch, heads, seq, 2 * half], shared, seed).check();
    }
}

#[test]
fn more_than_one_task_permuted_inputs_other_types_and_other_devices() {
    let case = Case::new([5, 3, 70, 32], false, 3);
    case.check();
    for device in every_device() {
        let [cos, sin] = case.cos_sin(&device);
        let y = rotary(case.laid(&case.x, true, &device), cos.clone(), sin.clone());
        assert_close(&values(y), &case.turned(&case.x, 1.0), ROTARY, ROTARY);
    }
    for device in other_devices().into_iter().chain([Device::flex()]) {
        let [cos, sin] = case.cos_sin(&device);
        let [x, cos, sin] =
            [tensor(&case.x, case.shape, &device), cos, sin].map(|t| t.cast(DType::F64));
        assert_eq!(rotary(x, cos, sin).dtype(), DType::F64);
    }
}

#[cfg(feature = "flex")]
#[test]
fn nothing_is_recorded_when_nothing_requires_gradients() {
    let case = Case::new([1, 1, 2, 4], true, 1);
    let [cos, sin] = case.cos_sin(&device());
    let y = rotary(tensor(&case.x, case.shape, &device()), cos, sin);
    assert!(!crate::testing::is_tracked(y));
}

#[test]
fn nan_stays_in_its_pair() {
    let case = Case::new([1, 1, 2, 4], true, 1);
    let mut x = case.x.clone();
    x[1] = f32::NAN;
    for device in every_device() {
        let [cos, sin] = case.cos_sin(&device);
        let y = values(rotary(tensor(&x, case.shape, &device), cos, sin));
        let broken: Vec<usize> = (0..8).filter(|i| y[*i].is_nan()).collect();
        assert_eq!(broken, [1, 3]);
    }
}

#[cfg(feature = "cube")]
#[test]
fn the_kernel_of_cubecl_runs() {
    let Some(device) = cube_device() else { return };
    let case = Case::new([1, 2, 3, 4], true, 1);
    assert_runs(&["rotary on cube"], || {
        case.run(false, &device.autodiff());
    });
}

#[test]
#[should_panic(expected = "expected [batch or 1, 1, seq, d / 2]")]
fn angles_of_another_shape_are_refused() {
    let device = Device::flex();
    let angles = Tensor::<4>::ones([1, 1, 3, 2], &device);
    let _ = rotary(Tensor::ones([1, 1, 2, 4], &device), angles.clone(), angles);
}
