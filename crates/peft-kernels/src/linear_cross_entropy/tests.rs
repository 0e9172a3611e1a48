//! Against the scores and their loss one after the other.

use burn::tensor::{Device, Tensor};
use proptest::prelude::*;

use super::linear_cross_entropy;
use crate::cross_entropy::cross_entropy;
use crate::soft_cap::soft_capped;
use crate::testing::{
    assert_close, device, fused_devices, noise, other_devices, slack, tensor, values, wide,
};

/// Losses of at most 20, and gradients of at most 1, in another order of sums.
const ABSOLUTE: f64 = 1e-5;
const RELATIVE: f64 = 1e-5;

/// Losses and the gradient of `x`, by one function or the two.
fn run(
    [rows, d, classes]: [usize; 3],
    targets: &[u32],
    device: &Device,
    losses: impl Fn(Tensor<2>, Tensor<2>) -> Tensor<1>,
) -> [Vec<f32>; 2] {
    assert_eq!(targets.len(), rows);
    let x = tensor(&noise(1, rows * d, 2.0), [rows, d], device).require_grad();
    let weight = tensor(&noise(2, d * classes, 1.0), [d, classes], device);
    let losses = losses(x.clone(), weight);
    let cotangent = Tensor::<1>::from_data(&*noise(3, rows, 1.0), device);
    let grads = (losses.clone() * cotangent).sum().backward();
    [values(losses), values(x.grad(&grads).unwrap())]
}

fn check(sizes: [usize; 3]) {
    let targets: Vec<u32> = (0..sizes[0]).map(|at| (at * 7 % sizes[2]) as u32).collect();
    for cap in [None, Some(3.0)] {
        let capped = |scores| match cap {
            Some(cap) => soft_capped(scores, cap),
            None => scores,
        };
        let expected = run(sizes, &targets, &device(), |x, w| {
            cross_entropy(capped(x.matmul(w)), &targets)
        });
        for device in fused_devices() {
            let found = run(sizes, &targets, &device, |x, w| {
                linear_cross_entropy(x, w, &targets, cap)
            });
            let slack = slack(&device);
            for (found, expected) in found.iter().zip(&expected) {
                assert_close(found, &wide(expected), slack * ABSOLUTE, slack * RELATIVE);
            }
        }
    }
}

#[test]
fn more_scores_than_are_held_at_a_time_give_the_same_losses() {
    check([530, 3, 70_000]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn losses_and_gradients_are_those_of_the_scores(
        rows in 1_usize..40, d in 1_usize..20, classes in 1_usize..200,
    ) {
        check([rows, d, classes]);
    }
}

#[test]
fn a_weight_that_trains_gets_its_gradient() {
    let device = device();
    let x = tensor(&[0.5, -1.0], [1, 2], &device);
    let weight = tensor(&noise(2, 6, 1.0), [2, 3], &device).require_grad();
    let grads = linear_cross_entropy(x, weight.clone(), &[1], None)
        .sum()
        .backward();
    assert!(
        values(weight.grad(&grads).unwrap())
            .iter()
            .any(|grad| *grad != 0.0)
    );
}

#[test]
fn other_backends_give_the_same() {
    let of = |device: &Device| {
        let x = tensor(&noise(1, 8, 1.0), [4, 2], device);
        let weight = tensor(&noise(2, 10, 1.0), [2, 5], device);
        values(linear_cross_entropy(x, weight, &[0, 4, 2, 2], Some(3.0)))
    };
    let expected = wide(&of(&device()));
    for device in other_devices() {
        assert_close(&of(&device), &expected, ABSOLUTE, RELATIVE);
    }
}

#[test]
#[should_panic(expected = "every row needs a target below the number of classes")]
fn a_target_beyond_the_classes_is_a_mistake_of_the_caller() {
    let device = device();
    let x = tensor(&[0.5, -1.0], [1, 2], &device);
    let _ = linear_cross_entropy(x, tensor(&[0.0; 6], [2, 3], &device), &[3], None);
}
