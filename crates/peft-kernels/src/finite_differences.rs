//! Every gradient of every operation against central differences of its output.

use burn::tensor::{Device, Int, Tensor};

use crate::testing::{device, noise, tensor, values, wide};
use crate::{
    Attention, AttentionMask, Experts, Gate, Keep, LowRankPair, Routing, attention, cross_entropy,
    dropout, expert_mixture, gated, gelu, gelu_tanh, layer_norm, linear, linear_cross_entropy,
    linear_with_pair, rms_norm, rotary, scale_columns, scaled_product, softmax_last,
};

const STEP: f32 = 1.0 / 64.0;
/// The third derivative times the square of the step, and the rounding of outputs near 1 over the step.
const TOLERANCE: f64 = 2e-3;

/// Reproducible values in [-1, 1] as a tensor.
fn random<const D: usize>(seed: u64, shape: [usize; D]) -> Tensor<D> {
    random_on(seed, shape, &device())
}

fn random_on<const D: usize>(seed: u64, shape: [usize; D], device: &Device) -> Tensor<D> {
    tensor(&noise(seed, shape.iter().product(), 1.0), shape, device)
}

/// Checks the gradient of `sum(f(x) c)` for fixed random `c`.
#[track_caller]
fn check<const D: usize, const E: usize>(shape: [usize; D], f: impl Fn(Tensor<D>) -> Tensor<E>) {
    let start = noise(1, shape.iter().product(), 1.0);
    let x = tensor(&start, shape, &device()).require_grad();
    let y = f(x.clone());
    let cotangent = random(2, y.dims());
    let weights = wide(&values(cotangent.clone()));
    let grads = (y * cotangent).sum().backward();
    let gradient = values(x.grad(&grads).expect("a gradient"));
    let objective = |moved: &[f32]| -> f64 {
        let y = wide(&values(f(tensor(moved, shape, &device()))));
        y.iter().zip(&weights).map(|(y, weight)| y * weight).sum()
    };
    for (at, found) in gradient.iter().enumerate() {
        let moved = |by: f32| {
            let mut x = start.clone();
            x[at] += by;
            objective(&x)
        };
        let slope = (moved(STEP) - moved(-STEP)) / f64::from(2.0 * STEP);
        let error = (f64::from(*found) - slope).abs();
        assert!(
            error < TOLERANCE,
            "at {at}: {found}, the difference says {slope}"
        );
    }
    assert!(
        gradient
            .iter()
            .any(|value| value.abs() > 10.0 * TOLERANCE as f32)
    );
}

#[test]
fn of_one_value() {
    check([3, 5], gelu);
    check([3, 5], gelu_tanh);
    check([4, 40], |x| dropout(x, 0.3, 5));
    for by in [Gate::Silu, Gate::GeluTanh] {
        check([3, 5], |x| gated(x, random(3, [3, 5]), by));
        check([3, 5], |x| gated(random(3, [3, 5]), x, by));
    }
}

#[test]
fn of_rows() {
    check([3, 5], softmax_last);
    check([3, 5], |x| cross_entropy(x, &[4, 0, 2]));
    check([3, 8], |x| {
        layer_norm(x, random(3, [8]), random(4, [8]), 1e-5)
    });
    check([8], |gamma| {
        layer_norm(random(3, [3, 8]), gamma, random(4, [8]), 1e-5)
    });
    check([8], |beta| {
        layer_norm(random(3, [3, 8]), random(4, [8]), beta, 1e-5)
    });
    check([3, 8], |x| rms_norm(x, random(3, [8]), 1e-5));
    check([8], |gamma| rms_norm(random(3, [3, 8]), gamma, 1e-5));
    check([1, 2, 3, 4], |x| {
        rotary(x, random(3, [1, 1, 3, 2]), random(4, [1, 1, 3, 2]))
    });
}

#[test]
fn of_columns() {
    for keep in [Keep::Input, Keep::Output] {
        check([3, 5], |x| {
            scale_columns(x, random(3, [5]), Some(random(4, [5])), keep)
        });
        check([5], |scales| {
            scale_columns(random(3, [3, 5]), scales, None, keep)
        });
    }
}

#[test]
fn of_products() {
    let of = |seed| random::<2>(seed, [4, 4]);
    check([4, 4], |x| linear(x, of(3), Some(random(4, [4]))));
    check([4, 4], |weight| linear(of(3), weight, None));
    check([4], |bias| linear(of(3), of(4), Some(bias)));
    check([4, 4], |x| scaled_product(x, random(3, [4]), of(4)));
    check([4], |scales| scaled_product(of(3), scales, of(4)));
    let pair = |a, b, input| LowRankPair {
        a,
        b,
        scale: 0.7,
        input,
    };
    let layer = |x, pair| linear_with_pair(x, of(3), Some(random(4, [4])), pair);
    check([4, 4], |x| layer(x, pair(of(5), of(6), None)));
    check([4, 4], |x| layer(x, pair(of(5), of(6), Some(of(7)))));
    check([4, 4], |input| {
        layer(of(8), pair(of(5), of(6), Some(input)))
    });
    check([4, 4], |a| layer(of(8), pair(a, of(6), None)));
    check([4, 4], |b| layer(of(8), pair(of(5), b, Some(of(7)))));
}

#[test]
fn of_bounded_scores() {
    for cap in [None, Some(1.5)] {
        check([4, 4], |x| {
            linear_cross_entropy(x, random::<2>(3, [4, 5]), &[0, 4, 2, 2], cap)
        });
    }
}

#[test]
fn of_attention() {
    let how = |(dropout, cap)| Attention {
        scale: 0.7,
        cap,
        mask: Some(AttentionMask::Bias(random(3, [1, 1, 3, 4]))),
        dropout,
    };
    let (keys, queries) = ([1, 1, 4, 2], [1, 2, 3, 2]);
    for given in [(None, None), (Some((0.3, 9)), None), (None, Some(1.5))] {
        check(queries, |x| {
            attention(x, random(4, keys), random(5, keys), how(given))
        });
        check(keys, |x| {
            attention(random(4, queries), x, random(5, keys), how(given))
        });
        check(keys, |x| {
            attention(random(4, queries), random(5, keys), x, how(given))
        });
    }
}

#[test]
fn of_mixtures() {
    let chosen = || Tensor::<2, Int>::from_ints([[0, 2], [1, 2], [2, 0]], &device());
    let mixture = |x, a, b, weights: Tensor<2>| {
        let routing = Routing {
            credits: weights.clone().detach(),
            weights,
            chosen: chosen(),
        };
        expert_mixture(x, Experts { a, b, count: 3 }, routing, None)
    };
    let (x, a, b) = (
        || random(3, [3, 4]),
        || random(4, [4, 6]),
        || random(5, [6, 2]),
    );
    let weights = || random(6, [3, 2]);
    check([3, 4], |x| mixture(x, a(), b(), weights()));
    check([4, 6], |a| mixture(x(), a, b(), weights()));
    check([6, 2], |b| mixture(x(), a(), b, weights()));
    check([3, 2], |weights| mixture(x(), a(), b(), weights));
}
