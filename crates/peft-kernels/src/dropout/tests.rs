//! The mask's statistics, its repetition, and the agreement of forward and backward.

use burn::tensor::{DType, Device, Tensor};
use proptest::prelude::*;

use super::{derive_seed, dropout};
use crate::testing::{device, noise, other_devices, tensor, values, with_gradient};

/// Standard deviations a count may be off.
const SIGMAS: f64 = 5.0;

/// Asserts that `count` of `n` events of probability `p` is no surprise.
#[track_caller]
fn assert_plausible(count: usize, n: usize, p: f64) {
    let (expected, deviation) = (n as f64 * p, (n as f64 * p * (1.0 - p)).sqrt());
    assert!(
        (count as f64 - expected).abs() <= SIGMAS * deviation,
        "{count} of {n}, expected {expected:.0} +- {deviation:.0}"
    );
}

/// Which elements the mask of a seed keeps.
#[cfg(feature = "flex")]
fn kept(n: usize, p: f64, seed: u64) -> Vec<bool> {
    let ones = Tensor::<1>::ones([n], &Device::flex());
    values(dropout(ones, p, seed))
        .iter()
        .map(|v| *v != 0.0)
        .collect()
}

proptest! {
    #[test]
    fn kept_elements_are_scaled_and_the_gradient_has_the_same_mask(
        n in 1_usize..40_000, p in 0.01_f64..0.99, seed: u64,
    ) {
        let x: Vec<f32> = noise(seed, n, 1.0).iter().map(|v| v + 2.0).collect();
        let weight = noise(seed ^ 1, n, 1.0);
        let (y, grad) = with_gradient(
            tensor(&x, [n], &device()),
            tensor(&weight, [n], &device()),
            |x| dropout(x, p, seed),
        );
        let scale = 1.0 / (1.0 - p);
        let tolerance = 2e-5 * scale * scale; // p is rounded to 1/65536
        for i in 0..n {
            let (factor, slope) = (f64::from(y[i] / x[i]), f64::from(grad[i] / weight[i]));
            let dropped = factor == 0.0;
            prop_assert!(dropped || (factor - scale).abs() <= tolerance, "{factor} is not {scale}");
            prop_assert!(weight[i] == 0.0 || (factor - slope).abs() <= 1e-6 * scale);
        }
    }
}

#[test]
fn the_share_of_dropped_elements_is_the_probability() {
    let n = 1_000_000;
    for (p, seed) in [(0.1, 1), (0.5, 2), (0.05, 3), (0.9, 4)] {
        let y = values(dropout(Tensor::<1>::ones([n], &Device::flex()), p, seed));
        assert_plausible(y.iter().filter(|v| **v == 0.0).count(), n, p);
    }
}

#[cfg(feature = "flex")]
#[test]
fn neighbours_and_calls_with_related_seeds_are_independent() {
    let (n, p) = (500_000, 0.3);
    let first = kept(n, p, 42);
    for distance in [1, 2, 3, 4, 5, 64, 768, 16_384] {
        let both = (distance..n)
            .filter(|i| first[*i] && first[*i - distance])
            .count();
        assert_plausible(both, n - distance, 0.49);
    }
    for seed in [
        43,
        44,
        42 + (1 << 32),
        derive_seed(42, 0),
        derive_seed(42, 1),
    ] {
        let second = kept(n, p, seed);
        let both = (0..n).filter(|i| first[*i] && second[*i]).count();
        assert_plausible(both, n, 0.49);
    }
}

#[cfg(feature = "flex")]
#[test]
fn the_mask_follows_from_seed_and_index_whatever_the_shape_layout_or_threads() {
    let n = 120_000;
    let flat = kept(n, 0.2, 9);
    assert_eq!(flat, kept(n, 0.2, 9));
    assert_ne!(flat, kept(n, 0.2, 10));
    assert_eq!(flat[..70_001], kept(70_001, 0.2, 9));
    let transposed = Tensor::<2>::ones([400, 300], &Device::flex()).transpose();
    let shaped: Vec<bool> = values(dropout(transposed, 0.2, 9))
        .iter()
        .map(|v| *v != 0.0)
        .collect();
    assert_eq!(flat, shaped);
    let single = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .unwrap();
    assert_eq!(flat, single.install(|| kept(n, 0.2, 9)));
}

#[cfg(feature = "flex")]
#[test]
fn nothing_is_recorded_for_an_input_without_gradient() {
    let x = Tensor::<1>::ones([8], &device());
    assert!(!crate::testing::is_tracked(dropout(x.clone(), 0.5, 1)));
    assert!(crate::testing::is_tracked(dropout(
        x.require_grad(),
        0.5,
        1
    )));
}

#[test]
fn the_ends_of_the_range_of_probabilities_are_exact() {
    let data = noise(1, 50, 1.0);
    let x = tensor(&data, [50], &Device::flex());
    assert_eq!(values(dropout(x.clone(), 0.0, 1)), data);
    assert!(values(dropout(x.clone(), 1.0, 1)).iter().all(|v| *v == 0.0));
    let rare = values(dropout(x, 1e-9, 1));
    assert_eq!(rare, data);
}

#[test]
fn nan_stays_nan_kept_or_dropped() {
    let y = values(dropout(
        Tensor::<1>::full([100], f32::NAN, &Device::flex()),
        0.5,
        1,
    ));
    assert!(y.iter().all(|v| v.is_nan()));
}

#[test]
fn other_types_and_devices_use_the_stream_of_the_device() {
    let n = 20_000;
    let double = Tensor::<1>::ones([n], &Device::flex()).cast(DType::F64);
    let y = dropout(double, 0.25, 1);
    assert_eq!(y.dtype(), DType::F64);
    let mut results = vec![values(y.cast(DType::F32))];
    for device in other_devices() {
        results.push(values(dropout(Tensor::<1>::ones([n], &device), 0.25, 1)));
    }
    for y in results {
        assert_plausible(y.iter().filter(|v| **v == 0.0).count(), n, 0.25);
        assert!(y.iter().all(|v| *v == 0.0 || (v - 4.0 / 3.0).abs() < 1e-6));
    }
}

#[test]
fn derived_seeds_differ() {
    let mut seeds: Vec<u64> = (0..10_000).map(|i| derive_seed(5, i)).collect();
    seeds.sort_unstable();
    seeds.dedup();
    assert_eq!(seeds.len(), 10_000);
}
