//! The subspaces of a small pool against those that numpy computes: `tools/golden/recycle.py`.
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

use std::path::{Path, PathBuf};

use faer::Mat;
use peft_core::file::{HostTensor, read_tensors};
use peft_recycle::{Folding, Mean, Pool, Stack, Subspace, SubspaceOptions, principal_angles};

/// Components in the golden files.
const K: usize = 4;
/// Largest principal angle in radians; the golden numbers are rounded to single precision.
const ANGLE: f64 = 1e-4;

fn golden(part: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/subspace")
        .join(part)
}

fn pool() -> Pool {
    let folders: Vec<PathBuf> = (0..5)
        .map(|at| golden(&format!("pool/member-{at}")))
        .collect();
    Pool::open(&folders).unwrap()
}

fn matrix(tensor: &HostTensor) -> Mat<f64> {
    let width = tensor.shape.get(1).copied().unwrap_or(1);
    Mat::from_fn(tensor.shape[0], width, |row, column| {
        f64::from(tensor.data[row * width + column])
    })
}

/// The largest principal angle between our components and numpy's, over all sites, sides and modes.
fn largest_angle(pool: &Pool) -> f64 {
    let golden = read_tensors(&golden("subspaces.safetensors")).unwrap();
    let mut largest = 0.0_f64;
    for path in pool.sites().keys() {
        let factors = pool.site(path).unwrap();
        for (side, factors) in [("A", &factors.a), ("B", &factors.b)] {
            let count = factors.iter().map(Mat::ncols).sum();
            let mut stack = Stack::new(factors[0].nrows(), count);
            for factor in factors {
                stack.push(factor.as_ref()).unwrap();
            }
            for (mode, mean) in [("uncentred", Mean::Uncentred), ("centred", Mean::Stored)] {
                let options = SubspaceOptions::fixed(K).with_mean(mean);
                let subspace = Subspace::of(&stack, &options).unwrap();
                let expected = matrix(&golden[&format!("{path}.{side}.{mode}")]);
                // Rounding to single precision has to be undone before angles mean anything.
                let expected = expected.qr().compute_thin_Q();
                let angles = principal_angles(subspace.components(), expected.as_ref()).unwrap();
                assert_eq!(angles.len(), K);
                largest = largest.max(angles[K - 1]);
                if pool.folding() == Folding::IntoB {
                    check_values(&subspace, &golden[&format!("{path}.{side}.{mode}.values")]);
                }
                if let Some(mean) = subspace.mean().filter(|_| pool.folding() == Folding::IntoB) {
                    let expected = matrix(&golden[&format!("{path}.{side}.mean")]);
                    assert!((mean - &expected).norm_max() < 1e-5 * expected.norm_max());
                }
            }
        }
    }
    largest
}

fn check_values(subspace: &Subspace, expected: &HostTensor) {
    let largest = f64::from(expected.data[0]);
    let found = subspace.singular_values();
    for (at, expected) in expected.data.iter().enumerate() {
        let found = found.get(at).copied().unwrap_or(0.0);
        assert!(
            (found - f64::from(*expected)).abs() < 2e-6 * largest,
            "{at}: {found} {expected}"
        );
    }
}

#[test]
fn components_span_what_numpy_finds() {
    let pool = pool();
    assert_eq!(pool.sites().len(), 3);
    let largest = largest_angle(&pool);
    assert!(largest < ANGLE, "{largest}");
}

/// The same comparison fails when the scales of the adapters are forgotten, as in the published code.
#[test]
fn components_without_the_scales_are_others() {
    let largest = largest_angle(&pool().with_folding(Folding::None));
    assert!(largest > 100.0 * ANGLE, "{largest}");
}
