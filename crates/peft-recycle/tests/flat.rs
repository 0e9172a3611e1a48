//! The flattened variant: one scalar per component and side.
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod support;

use peft_recycle::{Basis, BasisOptions, Components, Extend, Mean, Pool, RecycleError, Variant};
use support::{Adapter, folders};

/// Exact, but for the rounding of files to single precision.
const SINGLE: f64 = 3e-6;

fn flat(mean: Mean, components: usize) -> BasisOptions {
    BasisOptions {
        variant: Variant::Flat,
        mean,
        components: Components::Fixed(components),
        ..BasisOptions::default()
    }
}

#[test]
fn flattened_adapters_are_exact_with_as_many_components_as_adapters_and_one_fewer_with_a_mean() {
    let root = tempfile::tempdir().unwrap();
    let pool = Pool::open(&folders(root.path(), &[2; 4])).unwrap();
    let error = |mean: Mean, k: usize| {
        let out = tempfile::tempdir().unwrap();
        let basis = Basis::build(&pool, &flat(mean, k), out.path()).unwrap();
        basis.info().unwrap().errors.product.relative()
    };
    assert!(error(Mean::Uncentred, 4) < SINGLE && error(Mean::Uncentred, 3) > 0.05);
    assert!(error(Mean::Stored, 3) < SINGLE && error(Mean::Stored, 2) > 0.05);
    assert!(error(Mean::Direction, 3) < SINGLE);
    assert!(error(Mean::Reference, 3) > 0.05);
}

#[test]
fn flattened_factors_of_mixed_rank_are_refused() {
    let root = tempfile::tempdir().unwrap();
    let mixed = Pool::open(&folders(root.path(), &[2, 3])).unwrap();
    let options = flat(Mean::Uncentred, 2);
    let error = Basis::build(&mixed, &options, &root.path().join("x")).unwrap_err();
    assert!(
        matches!(
            error,
            RecycleError::Rank {
                expected: 2,
                found: 3,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn a_newcomer_joins_with_one_direction_per_side_and_must_have_the_rank() {
    let root = tempfile::tempdir().unwrap();
    let pool = Pool::open(&folders(root.path(), &[4, 4])).unwrap();
    let out = root.path().join("basis");
    let mut basis = Basis::build(&pool, &flat(Mean::Uncentred, 2), &out).unwrap();
    let folder = Adapter::new(4, 40).write(&root.path().join("newcomer"));
    let before = basis.project(&folder).unwrap().errors.product;
    assert!(before.relative() > 0.05);
    let added = basis.add(&folder, Extend::Residual(0.0)).unwrap().errors;
    assert!(added.product.relative() < SINGLE, "{added:?}");
    let info = basis.info().unwrap();
    let grown = |site: &peft_recycle::SiteInfo| (site.a.added, site.b.added) == (1, 1);
    assert!(info.sites.iter().all(grown), "{info:?}");
    assert!(info.errors.product.relative() < SINGLE);
    let other = Adapter::new(3, 5).write(&root.path().join("other"));
    let error = basis.add(&other, Extend::No).unwrap_err();
    assert!(
        matches!(
            error,
            RecycleError::Rank {
                expected: 4,
                found: 3,
                ..
            }
        ),
        "{error}"
    );
}
