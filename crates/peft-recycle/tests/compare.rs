//! Two adapters beside each other, against dense products and spaces that are known.
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod support;

use std::f64::consts::FRAC_PI_2;

use faer::Mat;
use peft_recycle::{Alike, compare};
use support::{Adapter, SITES, random};

fn close(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-12, "{found} {expected}");
}

/// The same numbers from dense updates.
fn dense(one: &Mat<f64>, other: &Mat<f64>) -> [f64; 3] {
    let mut inner = 0.0;
    for column in 0..one.ncols() {
        for row in 0..one.nrows() {
            inner += one[(row, column)] * other[(row, column)];
        }
    }
    let norms = [one.norm_l2(), other.norm_l2()];
    [
        inner / norms[0] / norms[1],
        norms[1] / norms[0],
        (one - other).norm_l2() / norms[0],
    ]
}

fn numbers(alike: &Alike) -> [f64; 3] {
    [alike.cosine(), alike.norm_ratio(), alike.distance()]
}

#[test]
fn the_numbers_are_those_of_the_dense_updates_at_each_site_and_over_all() {
    let root = tempfile::tempdir().unwrap();
    let (one, mut other) = (Adapter::new(3, 1), Adapter::new(5, 2));
    other.config.lora_alpha = 2.0;
    let folders = [
        one.write(&root.path().join("one")),
        other.write(&root.path().join("other")),
    ];
    let comparison = compare(&folders[0], &folders[1]).unwrap();
    let mut stacked: [Vec<f64>; 2] = [Vec::new(), Vec::new()];
    for (site, ..) in SITES {
        let products = [one.product(site, 2.0), other.product(site, 0.4)];
        let found = &comparison.sites[site];
        assert_eq!(found.ranks, [3, 5]);
        let expected = dense(&products[0], &products[1]);
        for (found, expected) in numbers(&found.alike).into_iter().zip(expected) {
            close(found, expected);
        }
        for (all, product) in stacked.iter_mut().zip(&products) {
            all.extend(product.col_iter().flat_map(|column| column.iter().copied()));
        }
    }
    let [left, right] = stacked.map(|all| Mat::from_fn(all.len(), 1, |row, _| all[row]));
    let expected = dense(&left, &right);
    for (found, expected) in numbers(&comparison.overall).into_iter().zip(expected) {
        close(found, expected);
    }
}

#[test]
fn an_adapter_and_itself_in_other_factors_are_the_same() {
    let root = tempfile::tempdir().unwrap();
    let adapter = Adapter::new(3, 1);
    let mut doubled = adapter.clone();
    doubled.config.lora_alpha = 12.0;
    for tensor in doubled.tensors.values_mut() {
        tensor.data.iter_mut().for_each(|value| *value *= -1.0);
    }
    let folders = [&adapter, &doubled].map(|adapter| {
        let name = adapter.config.lora_alpha.to_string();
        adapter.write(&root.path().join(name))
    });
    let same = compare(&folders[0], &folders[0]).unwrap();
    assert_eq!(numbers(&same.overall), [1.0, 1.0, same.overall.distance()]);
    assert!(same.overall.distance() < 1e-14);
    let other = compare(&folders[0], &folders[1]).unwrap();
    for (found, expected) in numbers(&other.overall).into_iter().zip([1.0, 2.0, 1.0]) {
        close(found, expected);
    }
    for site in other.sites.values() {
        assert_eq!((site.angles_a.len(), site.angles_b.len()), (3, 3));
        let angles = site.angles_a.iter().chain(&site.angles_b);
        assert!(angles.into_iter().all(|angle| *angle < 1e-12), "{site:?}");
    }
}

#[test]
fn angles_are_those_between_known_spaces() {
    let root = tempfile::tempdir().unwrap();
    let (site, d_in, d_out) = SITES[0];
    let angle = 0.3_f64;
    let mut one = Adapter::new(2, 1);
    let mut other = one.clone();
    let unit = |at: usize| move |row: usize, column: usize| f64::from(u8::from(row + at == column));
    one.put(site, "lora_A.weight", &Mat::from_fn(2, d_in, unit(0)));
    // The first direction is shared, the second turned by the angle; the rows are mixed, which spans the same.
    let turned = Mat::from_fn(2, d_in, |row, column| match (row, column) {
        (_, 0) => 1.0,
        (1, 1) => angle.cos(),
        (1, 2) => angle.sin(),
        _ => 0.0,
    });
    other.put(site, "lora_A.weight", &turned);
    let columns = Mat::from_fn(2, d_out, unit(0)).transpose().to_owned();
    one.put(site, "lora_B.weight", &columns);
    let columns = Mat::from_fn(2, d_out, unit(2)).transpose().to_owned();
    other.put(site, "lora_B.weight", &columns);
    let (zero, d_in, d_out) = SITES[1];
    other.put(zero, "lora_A.weight", &random(2, d_in, 5));
    other.put(zero, "lora_B.weight", &Mat::zeros(d_out, 2));
    let folders = [
        one.write(&root.path().join("one")),
        other.write(&root.path().join("other")),
    ];
    let comparison = compare(&folders[0], &folders[1]).unwrap();
    let found = &comparison.sites[site];
    assert!(found.angles_a[0] < 1e-7 && (found.angles_a[1] - angle).abs() < 1e-7);
    assert!(
        found
            .angles_b
            .iter()
            .all(|angle| (angle - FRAC_PI_2).abs() < 1e-7)
    );
    let nothing = &comparison.sites[zero];
    assert_eq!((nothing.angles_a.len(), nothing.angles_b.len()), (2, 0));
    assert_eq!(numbers(&nothing.alike), [0.0, 0.0, 1.0]);
}

#[test]
fn what_disagrees_is_reported_and_not_fatal() {
    let root = tempfile::tempdir().unwrap();
    let (one, mut other) = (Adapter::new(3, 1), Adapter::new(3, 1));
    let [(wide, d_in, d_out), (gone, ..), _] = SITES;
    other.put(wide, "lora_A.weight", &random(3, d_in + 1, 4));
    other.tensors.retain(|key, _| !key.contains(gone));
    other.put("layer.3.q", "lora_A.weight", &random(3, 4, 5));
    other.put("layer.3.q", "lora_B.weight", &random(6, 3, 6));
    other.config.base_model_name_or_path = Some("another/base-2".to_owned());
    let folders = [
        one.write(&root.path().join("one")),
        other.write(&root.path().join("other")),
    ];
    let comparison = compare(&folders[0], &folders[1]).unwrap();
    assert_eq!(comparison.bases[1].as_deref(), Some("another/base-2"));
    assert_eq!(
        comparison.alone,
        [vec![gone.to_owned()], vec!["layer.3.q".to_owned()]]
    );
    assert_eq!(comparison.other_widths.len(), 1);
    assert_eq!(comparison.other_widths[0].site, wide);
    assert_eq!(
        comparison.other_widths[0].widths,
        [(d_in, d_out), (d_in + 1, d_out)]
    );
    assert_eq!(comparison.sites.len(), 1);
    let norms =
        [one.product(gone, 2.0), other.product("layer.3.q", 2.0)].map(|p| p.squared_norm_l2());
    let shared = one.product(SITES[2].0, 2.0).squared_norm_l2();
    let expected = shared / ((shared + norms[0]) * (shared + norms[1])).sqrt();
    close(comparison.overall.cosine(), expected);
    assert!(compare(&folders[0], &root.path().join("none")).is_err());
}
