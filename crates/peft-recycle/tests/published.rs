//! Published adapters from an optional data folder: `PEFT_DATA`, or `../shared/data` beside the project. Each test says so when the folder
//! is absent, and prints the errors that it finds (`--nocapture`).
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

use std::path::PathBuf;

use peft_core::file::read_folder;
use peft_core::testing::outside::data;
use peft_recycle::{
    Basis, BasisOptions, Components, Folding, LeaveOneOut, Mean, Pool, Variant, leave_one_out,
    similarity,
};

fn adapters(family: &str) -> Option<Vec<PathBuf>> {
    let entries = data("adapters")?.read_dir().unwrap();
    let mut folders: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.file_name()
                .unwrap()
                .to_string_lossy()
                .starts_with(family)
        })
        .collect();
    folders.sort();
    Some(folders)
}

#[allow(clippy::print_stdout, reason = "the table is the point")]
fn table(title: &str, found: &LeaveOneOut) {
    println!(
        "{title} (sites of one member alone: {})",
        found.lonely_sites.len()
    );
    print!("{:>30}", "K");
    for k in &found.components {
        print!("{k:>8}");
    }
    println!();
    for member in &found.members {
        for (part, errors) in [("BA", 0), ("A", 1), ("B", 2)] {
            print!("{:>26} {part:>3}", member.name);
            for error in &member.errors {
                let error = [error.product, error.a, error.b][errors];
                print!("{:>8.4}", error.relative());
            }
            println!();
        }
    }
    print!("{:>30}", "mean BA");
    for error in found.mean_product_error() {
        print!("{error:>8.4}");
    }
    println!();
}

fn run(family: &str, members: usize, components: &[usize]) {
    let Some(folders) = adapters(family) else {
        return;
    };
    for folding in [Folding::IntoB, Folding::None] {
        let pool = Pool::open(&folders).unwrap().with_folding(folding);
        assert_eq!(pool.members().len(), members);
        let found = leave_one_out(&pool, Variant::Columns, Mean::Uncentred, components).unwrap();
        table(&format!("{family}, scales {folding:?}"), &found);
        for member in &found.members {
            let products: Vec<f64> = (member.errors.iter())
                .map(|errors| errors.product.relative())
                .collect();
            // One of them was published with a B of zeros.
            let zero = f64::from(u8::from(member.name != "gpt2-09"));
            assert_eq!(
                products[0], zero,
                "{}: no component explains nothing",
                member.name
            );
            assert!(
                products.iter().all(|error| error.is_finite()),
                "{products:?}"
            );
            // Each factor gets closer with every component; it never gets worse than nothing.
            let factors = |of: fn(&peft_recycle::Errors) -> f64| {
                let errors: Vec<f64> = member.errors.iter().map(of).collect();
                assert!(
                    errors.is_sorted_by(|a, b| a >= b),
                    "{}: {errors:?}",
                    member.name
                );
            };
            factors(|errors| errors.a.relative());
            factors(|errors| errors.b.relative());
        }
    }
}

#[test]
fn gpt2_adapters_are_left_out_one_by_one() {
    run("gpt2", 9, &[0, 4, 8, 16, 32, 64]);
}

#[test]
fn distilbert_adapters_are_left_out_one_by_one() {
    run("distilbert-base-uncased", 3, &[0, 4, 8, 16]);
}

#[test]
fn published_adapters_come_back_exactly_from_a_full_basis_with_their_heads() {
    for (family, members) in [("gpt2", 9), ("distilbert-base-uncased", 3)] {
        let Some(folders) = adapters(family) else {
            return;
        };
        let pool = Pool::open(&folders).unwrap();
        let root = tempfile::tempdir().unwrap();
        let options = BasisOptions {
            components: Components::Fixed(usize::MAX),
            ..BasisOptions::default()
        };
        let basis = Basis::build(&pool, &options, &root.path().join("basis")).unwrap();
        let info = basis.info().unwrap();
        assert!(info.errors.product.relative() < 1e-5, "{:?}", info.errors);
        assert_eq!(basis.members().len(), members);
        for member in pool.members() {
            let out = root.path().join(member.name());
            basis.reconstruct(member.name(), &out).unwrap();
            let (source, back) = (
                read_folder(member.folder()).unwrap(),
                read_folder(&out).unwrap(),
            );
            assert_eq!(source.tensors.len(), back.tensors.len());
            let heads = member.carried().unwrap();
            for (name, tensor) in &heads {
                assert_eq!(back.tensors[name], *tensor, "{name}");
            }
        }
        let cosines = similarity(&pool).unwrap().overall.cosines;
        for (at, name) in basis.members().iter().enumerate() {
            let itself = f64::from(u8::from(*name != "gpt2-09"));
            assert!((cosines[at][at] - itself).abs() < 1e-12, "{name}");
        }
        assert!(cosines[0][1].abs() < 0.9, "{cosines:?}");
    }
}
