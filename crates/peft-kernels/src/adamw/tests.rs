//! The step against the formula in f64, and against the composition.

use burn::tensor::{Device, Tensor};

use super::{AdamWStep, Moving, adamw, composed};
use crate::testing::{
    assert_close, device, every_device, fused_devices, noise, slack, tensor, values,
};

/// Sums of two products, a root and two divisions in f32, of values around 1.
const ABSOLUTE: f64 = 1e-6;
const RELATIVE: f64 = 2e-6;

const SHAPE: [usize; 2] = [37, 1003];

fn step(time: usize) -> AdamWStep {
    AdamWStep {
        lr: 3e-2,
        weight_decay: 0.1,
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-8,
        time,
    }
}

/// A weight, its moments and a gradient; no second moment is so small that its rounding moves the weight.
fn inputs(shape: [usize; 2]) -> [Vec<f32>; 4] {
    let count = shape.iter().product();
    let [weight, first, second, grad] = [1, 2, 3, 4].map(|seed| noise(seed, count, 1.0));
    [
        weight,
        first,
        second.into_iter().map(|x| x.abs() + 0.1).collect(),
        grad,
    ]
}

fn on(device: &Device, shape: [usize; 2]) -> (Moving<2>, Tensor<2>) {
    let [weight, first, second, grad] = inputs(shape).map(|x| tensor(&x, shape, device));
    let at = Moving {
        weight,
        first,
        second,
    };
    (at, grad)
}

fn read(at: Moving<2>) -> [Vec<f32>; 3] {
    [at.weight, at.first, at.second].map(values)
}

fn formula(how: AdamWStep) -> [Vec<f64>; 3] {
    let [weight, first, second, grad] = inputs(SHAPE);
    let [beta1, beta2] = [how.beta1, how.beta2].map(f64::from);
    let correction = |beta: f64| 1.0 - beta.powi(how.time as i32);
    let mut found = [vec![], vec![], vec![]];
    for at in 0..weight.len() {
        let [w, m, v, g] = [&weight, &first, &second, &grad].map(|x| f64::from(x[at]));
        let (m, v) = (
            beta1 * m + (1.0 - beta1) * g,
            beta2 * v + (1.0 - beta2) * g * g,
        );
        let root = (v / correction(beta2)).sqrt() + f64::from(how.epsilon);
        let w = (1.0 - how.lr * how.weight_decay) * w - how.lr * (m / correction(beta1)) / root;
        found
            .iter_mut()
            .zip([w, m, v])
            .for_each(|(all, x)| all.push(x));
    }
    found
}

#[test]
fn a_step_is_the_formula_on_every_device() {
    for device in every_device() {
        // Beside a first correction of 0.001, f32's rounding of the second beta is a ten thousandth.
        for time in [10, 1000] {
            let (at, grad) = on(&device, SHAPE);
            let found = read(adamw(at, grad, step(time)));
            let slack = slack(&device) * if time == 10 { 10.0 } else { 1.0 };
            for (found, expected) in found.iter().zip(formula(step(time))) {
                assert_close(found, &expected, slack * ABSOLUTE, slack * RELATIVE);
            }
        }
    }
}

#[test]
fn fused_is_the_composition_to_the_bit_on_flex() {
    for how in [
        step(1),
        step(7),
        AdamWStep {
            weight_decay: 0.0,
            ..step(2)
        },
    ] {
        for shape in [[1, 1], [3, 5], SHAPE] {
            let [fused, expected] = [adamw, composed].map(|f| {
                let (at, grad) = on(&device(), shape);
                read(f(at, grad, how))
            });
            assert_eq!(fused, expected);
        }
    }
}

#[test]
fn what_others_hold_stays_as_it_was() {
    for device in fused_devices() {
        let (at, grad) = on(&device, SHAPE);
        let held = at.clone();
        let stepped = read(adamw(at, grad.clone(), step(3)));
        let [weight, first, second, _] = inputs(SHAPE);
        assert_eq!(read(held.clone()), [weight, first, second]);
        assert_eq!(read(adamw(held, grad, step(3))), stepped);
    }
}

#[test]
fn a_view_steps_as_its_values_do() {
    for device in fused_devices() {
        let (at, grad) = on(&device, [6, 4]);
        let expected = read(adamw(at.clone(), grad.clone(), step(2)));
        let turned = Moving {
            weight: at.weight.transpose(),
            first: at.first.transpose(),
            second: at.second.transpose(),
        };
        let Moving {
            weight,
            first,
            second,
        } = adamw(turned, grad.transpose(), step(2));
        let found = [weight, first, second].map(|x| values(x.transpose()));
        assert_eq!(found, expected);
    }
}

#[test]
#[should_panic(expected = "adamw: a weight [6, 4]")]
fn a_gradient_of_another_shape_is_refused() {
    let (at, grad) = on(&device(), [6, 4]);
    let _ = adamw(at, grad.transpose(), step(1));
}
