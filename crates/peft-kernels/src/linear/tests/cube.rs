//! Products with narrow matrices in CubeCL: that the gradient's kernel runs, and what it gives.

use burn::tensor::Tensor;

use super::Case;
use crate::linear::cube::rounded;
use crate::testing::{assert_runs, cube_device, cube_device_with_half, noise, tensor, values};

#[test]
fn the_kernel_runs_for_both_halves_of_a_pair() {
    let Some(device) = cube_device() else { return };
    let case = Case::new([9, 80, 90, 3], 2);
    assert_runs(&["narrow gradient on cube"], || {
        case.check_pair(&device.autodiff(), false, true);
    });
}

/// One row; parts of one size and a rest; more columns than units; the widest pair.
#[test]
fn gradients_of_pairs_are_those_of_the_formula() {
    let Some(device) = cube_device() else { return };
    let device = device.autodiff();
    for sizes in [[1, 3, 2, 1], [301, 130, 540, 8], [64, 65, 70, 64]] {
        Case::new(sizes, 5).check_pair(&device, false, false);
        Case::new(sizes, 6).check_pair(&device, true, true);
    }
    Case::new([70, 40, 90, 1], 7).check_plain(&device, true);
}

/// Factors, outputs and gradients are each off by at most 2^-8 of the sum of the sizes of the terms.
#[test]
fn rounded_products_are_off_by_no_more_than_their_rounding() {
    let Some((device, half)) = cube_device_with_half() else {
        return;
    };
    let device = device.autodiff();
    let [rows, d_in, d_out] = [9, 80, 70];
    let draw = |seed: u64, shape: [usize; 2]| {
        tensor(&noise(seed, shape[0] * shape[1], 1.0), shape, &device)
    };
    let run = |f: &dyn Fn(Tensor<2>, Tensor<2>) -> Tensor<2>| {
        let (x, weight) = (draw(1, [rows, d_in]), draw(2, [d_in, d_out]));
        let (x, weight) = (x.require_grad(), weight.require_grad());
        let y = f(x.clone(), weight.clone());
        let grads = (y.clone() * draw(3, [rows, d_out])).sum().backward();
        let grads = [x.grad(&grads), weight.grad(&grads)];
        [
            vec![values(y)],
            grads.map(|grad| values(grad.unwrap())).into(),
        ]
        .concat()
    };
    let exact = run(&|x, weight| x.matmul(weight));
    let found = run(&|x, weight| rounded(x, weight, half));
    for (at, (found, exact)) in found.iter().zip(&exact).enumerate() {
        let terms = [d_in, d_out, rows][at] as f32;
        let worst = found
            .iter()
            .zip(exact)
            .fold(0.0_f32, |worst, (a, b)| worst.max((a - b).abs()));
        assert!(worst > 0.0 && worst <= terms / 256.0, "{at}: {worst}");
    }
}
