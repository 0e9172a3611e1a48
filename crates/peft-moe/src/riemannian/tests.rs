//! Inverses of Gram matrices: exact where they can be, and there for whatever is finite.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;

/// `[n, d]` of this norm, nearly all of it in one direction.
fn one_direction(n: usize, d: usize, norm: f32, seed: u64) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut draw =
        |count: usize| -> Vec<f32> { (0..count).map(|_| rng.random_range(-1.0..1.0)).collect() };
    let (left, right, rest) = (draw(n), draw(d), draw(n * d));
    let entry = |at: usize| left[at / d] * right[at % d] + 1e-5 * rest[at];
    let values: Vec<f32> = (0..n * d).map(entry).collect();
    let length = values.iter().map(|value| value * value).sum::<f32>().sqrt();
    values.iter().map(|value| value * norm / length).collect()
}

#[test]
fn the_inverse_is_that_of_the_explicit_formula() {
    // (a + d, b; b, c + d) with determinant (a + d)(c + d) - b^2.
    let (a, b, c, d) = (2.0, 0.75, 1.0, 0.25);
    let found = inverse(&[a, b, b, c], 2, d).unwrap();
    let determinant = (a + d) * (c + d) - b * b;
    let expected = [c + d, -b, -b, a + d].map(|value| value / determinant);
    for (found, expected) in found.iter().zip(expected) {
        assert!(
            (found - expected).abs() < 1e-15,
            "{found} is not {expected}"
        );
    }
}

#[test]
fn a_matrix_times_its_inverse_is_one() {
    let n = 7;
    let half: Vec<f64> = (0..n * n)
        .map(|at| ((at * 37 % 11) as f64 - 5.0) / 7.0)
        .collect();
    let entry =
        |i: usize, j: usize| -> f64 { (0..n).map(|k| half[i * n + k] * half[j * n + k]).sum() };
    let gram: Vec<f64> = (0..n * n).map(|at| entry(at / n, at % n)).collect();
    let found = inverse(&gram, n, 1e-3).unwrap();
    for i in 0..n {
        for j in 0..n {
            let mut product: f64 = (0..n).map(|k| gram[i * n + k] * found[k * n + j]).sum();
            product += 1e-3 * found[i * n + j];
            let one = if i == j { 1.0 } else { 0.0 };
            assert!((product - one).abs() < 1e-9, "at {i}, {j}: {product}");
        }
    }
}

#[test]
fn nothing_and_nan_have_no_inverse_but_damping_gives_nothing_one() {
    assert!(damped_inverse(&[0.0; 4], 2, 0.0).is_none());
    assert!(damped_inverse(&[f64::NAN, 0.0, 0.0, 1.0], 2, 1e-6).is_none());
    let infinite = [1.0, f64::INFINITY, f64::INFINITY, 1.0];
    assert!(damped_inverse(&infinite, 2, 1e-6).is_none());
    let damped = damped_inverse(&[0.0; 4], 2, 1e-6).unwrap();
    assert!((damped[0] - 1e6).abs() < 1e-3 && damped[1] == 0.0);
}

#[test]
fn the_damping_is_no_less_than_a_millionth_of_the_trace() {
    let gram = [400.0, 0.0, 0.0, 0.0];
    let found = damped_inverse(&gram, 2, 1e-6).unwrap();
    assert!((found[3] * 400e-6 - 1.0).abs() < 1e-9, "{found:?}");
    let more = damped_inverse(&gram, 2, 1e-2).unwrap();
    assert!((more[3] * 1e-2 - 1.0).abs() < 1e-9, "{more:?}");
}

/// What a device without f64 gives: every product and sum rounded to f32.
#[test]
fn matrices_that_were_rounded_to_f32_have_inverses_too() {
    for (n, d, norm) in [
        (8, 384, 3.0),
        (16, 384, 10.0),
        (16, 4096, 100.0),
        (64, 4096, 1e4),
    ] {
        for seed in 0..20 {
            let rows = one_direction(n, d, norm, seed);
            let dot = |i: usize, j: usize| -> f32 {
                let (left, right) = (&rows[i * d..][..d], &rows[j * d..][..d]);
                left.iter().zip(right).map(|(a, b)| a * b).sum()
            };
            let gram: Vec<f64> = (0..n * n)
                .map(|at| f64::from(dot(at / n, at % n)))
                .collect();
            let found = damped_inverse(&gram, n, 1e-6).unwrap();
            assert!(
                found.iter().all(|value| value.is_finite()),
                "{n} x {d}, {norm}"
            );
        }
    }
}
