//! Combinations against those of PEFT's `add_weighted_adapter`: `tools/golden/combine.py`.
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod support;

use std::path::{Path, PathBuf};

use faer::Mat;
use peft_core::file::read_tensors;
use peft_recycle::{Arithmetic, Components, Heads, Majority, Mode, Pool, combine};

/// Largest difference of a product, relative to its largest entry; PEFT computes in single precision.
const CLOSE: f64 = 1e-5;
const NAMES: [&str; 3] = ["one", "two", "three"];
const WEIGHTS: [f64; 3] = [0.7, -0.4, 1.3];

fn golden(part: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/combine")
        .join(part)
}

/// The first `count` adapters combined, against the products of a case.
fn largest_difference(case: &str, mode: Mode, count: usize) -> f64 {
    let folders = NAMES.map(|name| golden("adapters").join(name));
    let pool = Pool::open(&folders[..count]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("combined");
    combine(&pool, &WEIGHTS[..count], mode, &Heads::Average, &out).unwrap();
    let written = Pool::open(&[&out]).unwrap();
    let expected = read_tensors(&golden("products.safetensors")).unwrap();
    let mut largest = 0.0_f64;
    for site in ["up", "down"] {
        let factors = written.factors(0, site).unwrap().unwrap();
        let found = &factors.b * factors.a.transpose();
        let expected = &expected[&format!("{case}.{site}")];
        let width = expected.shape[1];
        let expected = Mat::from_fn(expected.shape[0], width, |row, column| {
            f64::from(expected.data[row * width + column])
        });
        largest = largest.max((&found - &expected).norm_max() / expected.norm_max());
    }
    largest
}

#[test]
fn every_mode_gives_the_products_of_peft() {
    let kept = Components::Fixed(5);
    let (total, frequency) = (
        Arithmetic::ties(0.6, Majority::Total),
        Arithmetic::ties(0.6, Majority::Frequency),
    );
    let pruned = Arithmetic::magnitude_prune(0.35);
    for (case, mode, count) in [
        ("linear", Mode::Factors(Arithmetic::linear()), 2),
        ("cat", Mode::Cat, 3),
        ("cat", Mode::Exact, 3),
        ("svd", Mode::Svd(kept), 3),
        ("ties", Mode::Factors(total), 2),
        ("ties-frequency", Mode::Factors(frequency), 2),
        ("magnitude_prune", Mode::Factors(pruned), 2),
        ("ties_svd", Mode::Updates(total, kept), 3),
        ("magnitude_prune_svd", Mode::Updates(pruned, kept), 3),
    ] {
        let difference = largest_difference(case, mode, count);
        assert!(difference < CLOSE, "{case}: {difference}");
    }
}

/// The cases differ by far more than the tolerance, so that none passes for another.
#[test]
fn a_case_is_not_taken_for_another() {
    let frequency = Mode::Factors(Arithmetic::ties(0.6, Majority::Frequency));
    let other = largest_difference("ties", frequency, 2);
    assert!(other > 1000.0 * CLOSE, "{other}");
    let linear = largest_difference("linear", Mode::Exact, 2);
    assert!(linear > 1000.0 * CLOSE, "{linear}");
}
