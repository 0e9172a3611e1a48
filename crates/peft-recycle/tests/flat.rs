//! The flattened variant: one scalar per component and side.
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod support;

use burn::tensor::{Device, Tensor};
use peft_core::{AnyAdapter, Peers, PeftError, Slot, Weight};
use peft_recycle::eigenlorax::{EIGENLORAX, EigenLoraXAdapter};
use peft_recycle::{Basis, BasisOptions, Components, Extend, Mean, Pool, RecycleError, Variant};
use serde_json::json;
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

/// A linear layer of each site of the adapters, with its name in the model.
fn slot_of(at: usize) -> (peft_core::Site, Weight) {
    let (path, d_in, d_out) = support::SITES[at];
    let weight = Tensor::<2>::zeros([d_in, d_out], &Device::flex());
    (peft_core::Site::new(path, d_in, d_out), weight.into())
}

fn made(options: serde_json::Value, at: usize, rank: usize) -> Result<AnyAdapter, PeftError> {
    let options = serde_json::from_value(options).unwrap();
    let method = (EIGENLORAX.from_options)(&options)?;
    let (site, weight) = slot_of(at);
    method.create(&Slot {
        site: &site,
        weight: &weight,
        adapter: "default",
        rank,
        alpha: 1.0,
        seed: 5,
        cache: None,
        peers: Peers::default(),
    })
}

#[test]
fn training_in_a_flat_basis_starts_at_the_base_or_exactly_at_an_adapter() {
    let root = tempfile::tempdir().unwrap();
    let places = folders(root.path(), &[2; 4]);
    let out = root.path().join("basis");
    let pool = Pool::open(&places).unwrap();
    Basis::build(&pool, &flat(Mean::Uncentred, 4), &out).unwrap();
    let second = Adapter::new(2, 1);
    for (at, (site, d_in, d_out)) in support::SITES.into_iter().enumerate() {
        let dense = |adapter: &AnyAdapter| -> Vec<f32> {
            let weight = adapter.effective_weight(Tensor::zeros([d_in, d_out], &Device::flex()));
            weight.unwrap().into_data().iter::<f32>().collect()
        };
        let fresh = made(json!({ "basis": out }), at, 2).unwrap();
        assert!(dense(&fresh).iter().all(|value| *value == 0.0));
        let adapter = fresh.downcast_ref::<EigenLoraXAdapter>().unwrap();
        assert_eq!(
            adapter.loadings_a.dims(),
            [1, 4],
            "one number for each component"
        );
        assert_eq!(adapter.components_b.dims(), [4, 2 * d_out]);
        let options = json!({ "basis": out, "init": "project", "project": places[1] });
        let found = dense(&made(options, at, 2).unwrap());
        // The product of files is `[d_out, d_in]`, with a scale of 2.
        let expected = second.product(site, 2.0);
        for (index, found) in found.iter().enumerate() {
            let expected = expected[(index % d_out, index / d_out)];
            assert!(
                (f64::from(*found) - expected).abs() < 1e-5,
                "{found} {expected}"
            );
        }
        assert!(expected.norm_max() > 0.1);
        let mean = made(json!({ "basis": out, "init": "mean" }), at, 2).unwrap();
        assert!(dense(&mean).iter().any(|value| value.abs() > 1e-2));
    }
}

#[test]
fn another_rank_another_form_and_a_stored_mean_are_refused_with_the_way_out() {
    let root = tempfile::tempdir().unwrap();
    let pool = Pool::open(&folders(root.path(), &[2; 3])).unwrap();
    let [out, stored] = ["basis", "stored"].map(|name| root.path().join(name));
    Basis::build(&pool, &flat(Mean::Uncentred, 3), &out).unwrap();
    Basis::build(&pool, &flat(Mean::Stored, 2), &stored).unwrap();
    for (options, rank, words) in [
        (json!({ "basis": out }), 4, "--rank 2"),
        (
            json!({ "basis": out, "variant": "columns" }),
            2,
            "without --flat",
        ),
        (json!({ "basis": stored }), 2, "as a direction"),
    ] {
        let error = made(options, 0, rank).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}
