//! Similarity of adapters, and how well a basis describes one that it has not seen.
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod support;

use std::path::PathBuf;

use faer::Mat;
use peft_recycle::{
    Basis, BasisOptions, Components, Folding, Mean, Pool, RecycleError, Variant, leave_one_out,
    similarity,
};
use support::{Adapter, SITES, folders, random};

#[test]
fn cosines_are_those_of_the_dense_products_whatever_the_ranks() {
    let root = tempfile::tempdir().unwrap();
    let ranks = [2, 3, 1];
    let pool = Pool::open(&folders(root.path(), &ranks)).unwrap();
    let found = similarity(&pool).unwrap();
    let dense: Vec<Vec<Mat<f64>>> = (ranks.iter().enumerate())
        .map(|(at, rank)| {
            let adapter = Adapter::new(*rank, at as u64);
            SITES
                .iter()
                .map(|(site, ..)| adapter.product(site, 2.0))
                .collect()
        })
        .collect();
    let inner = |left: &Mat<f64>, right: &Mat<f64>| {
        (0..left.nrows())
            .flat_map(|row| (0..left.ncols()).map(move |column| (row, column)))
            .map(|at| left[at] * right[at])
            .sum::<f64>()
    };
    for i in 0..3 {
        for j in 0..3 {
            let sum = |i: usize, j: usize| -> f64 {
                (dense[i].iter().zip(&dense[j]))
                    .map(|(l, r)| inner(l, r))
                    .sum()
            };
            let overall = sum(i, j) / (sum(i, i) * sum(j, j)).sqrt();
            assert!((found.overall.cosines[i][j] - overall).abs() < 1e-10);
            for (at, (_, table)) in found.sites.iter().enumerate() {
                let of = |i: usize, j: usize| inner(&dense[i][at], &dense[j][at]);
                let cosine = of(i, j) / (of(i, i) * of(j, j)).sqrt();
                assert!((table.cosines[i][j] - cosine).abs() < 1e-10, "{i} {j} {at}");
            }
        }
    }
    assert_eq!(found.names, ["adapter-0", "adapter-1", "adapter-2"]);
}

#[test]
fn a_twin_with_its_factors_mixed_is_alike_and_an_adapter_of_zeros_is_like_nothing() {
    let root = tempfile::tempdir().unwrap();
    let one = Adapter::new(2, 0);
    let mut negative = one.clone();
    let mut zero = one.clone();
    for (site, _, d_out) in SITES {
        let b = one.product(site, 1.0);
        // B A = (B A) [I 0]: other factors, minus the same product.
        let width = b.ncols();
        negative.put(site, "lora_A.weight", &Mat::identity(width, width));
        negative.put(site, "lora_B.weight", &(b * -1.0));
        negative.config.rank_pattern.insert(site.to_owned(), width);
        zero.put(site, "lora_B.weight", &Mat::zeros(d_out, 2));
    }
    let folders = [
        one.write(&root.path().join("one")),
        negative.write(&root.path().join("negative")),
        zero.write(&root.path().join("zero")),
    ];
    let cosines = similarity(&Pool::open(&folders).unwrap()).unwrap();
    for (_, table) in &cosines.sites {
        assert!((table.cosines[0][1] + 1.0).abs() < 1e-6);
        assert_eq!((table.cosines[0][2], table.cosines[2][2]), (0.0, 0.0));
    }
}

#[test]
fn leaving_one_out_is_projecting_it_on_the_basis_of_the_others() {
    let root = tempfile::tempdir().unwrap();
    let folders = folders(root.path(), &[2, 1, 2, 2]);
    let all = |folding| Pool::open(&folders).unwrap().with_folding(folding);
    for (folding, mean) in [
        (Folding::IntoB, Mean::Uncentred),
        (Folding::IntoB, Mean::Direction),
        (Folding::None, Mean::Stored),
        (Folding::IntoB, Mean::Reference),
    ] {
        let found = leave_one_out(&all(folding), Variant::Columns, mean, &[1, 3, 99]).unwrap();
        for (at, held) in found.members.iter().enumerate() {
            let mut others = folders.clone();
            let own = others.remove(at);
            let pool = Pool::open(&others).unwrap().with_folding(folding);
            for (k, errors) in found.components.iter().zip(&held.errors) {
                let options = BasisOptions {
                    mean,
                    components: Components::Fixed(*k),
                    ..BasisOptions::default()
                };
                let out = tempfile::tempdir().unwrap();
                let basis = Basis::build(&pool, &options, out.path()).unwrap();
                let expected = basis.project(&own).unwrap().errors;
                for (found, expected) in [
                    (errors.product, expected.product),
                    (errors.a, expected.a),
                    (errors.b, expected.b),
                ] {
                    let (found, expected) = (found.relative(), expected.relative());
                    assert!(
                        (found - expected).abs() < 1e-5,
                        "{mean:?} {at} {k}: {found} {expected}"
                    );
                }
            }
        }
    }
}

#[test]
fn what_adapters_share_is_found_and_what_they_do_not_share_is_not_promised() {
    let root = tempfile::tempdir().unwrap();
    let write = |place: &str, shared: bool| -> Vec<PathBuf> {
        (0..6)
            .map(|at| {
                let mut adapter = Adapter::new(1, at);
                for (site, d_in, d_out) in SITES {
                    let of = |d: usize, seed: u64| {
                        if shared {
                            random(d, 2, d as u64) * random(2, 1, seed)
                        } else {
                            random(d, 1, seed)
                        }
                    };
                    let a = of(d_in, 7 * at).transpose().to_owned();
                    adapter.put(site, "lora_A.weight", &a);
                    adapter.put(site, "lora_B.weight", &of(d_out, 7 * at + 3));
                }
                adapter.write(&root.path().join(place).join(format!("{at}")))
            })
            .collect()
    };
    let held = |folders: &[PathBuf]| {
        let pool = Pool::open(folders).unwrap();
        leave_one_out(&pool, Variant::Columns, Mean::Uncentred, &[0, 1, 2])
            .unwrap()
            .mean_product_error()
    };
    let shared = held(&write("shared", true));
    assert_eq!(shared[0], 1.0);
    assert!(shared[1] > 0.01 && shared[2] < 1e-6, "{shared:?}");
    let own = held(&write("own", false));
    assert!(own[2] > 0.1, "{own:?}");
}

#[test]
fn sites_of_one_member_alone_are_listed_and_fewer_than_two_members_refused() {
    let root = tempfile::tempdir().unwrap();
    let mut more = Adapter::new(2, 9);
    more.put("z.o", "lora_A.weight", &random(2, 6, 1));
    more.put("z.o", "lora_B.weight", &random(6, 2, 2));
    let folders = [
        Adapter::new(2, 1).write(&root.path().join("a")),
        more.write(&root.path().join("b")),
    ];
    let run = |folders: &[PathBuf], variant| {
        leave_one_out(
            &Pool::open(folders).unwrap(),
            variant,
            Mean::Uncentred,
            &[2],
        )
    };
    let found = run(&folders, Variant::Flat).unwrap();
    assert_eq!(found.lonely_sites, ["z.o"]);
    assert_eq!(found.members.len(), 2);
    assert!(matches!(
        run(&folders[..1], Variant::Columns),
        Err(RecycleError::TooFew { .. })
    ));
    let mixed = [
        folders[0].clone(),
        Adapter::new(3, 1).write(&root.path().join("c")),
    ];
    assert!(matches!(
        run(&mixed, Variant::Flat),
        Err(RecycleError::Rank { .. })
    ));
}
