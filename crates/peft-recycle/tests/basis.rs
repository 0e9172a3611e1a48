//! A basis in its folder: what comes back of adapters, what it costs, and that nothing is lost.
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use peft_core::file::{FileError, TENSOR_FILE, key, read_folder, read_tensors};
use peft_recycle::{Basis, BasisOptions, Components, Folding, Mean, Pool, RecycleError, Variant};
use support::{Adapter, SITES, distance, folders, random};

/// Exact, but for the rounding of files to single precision.
const SINGLE: f64 = 2e-6;

fn all() -> BasisOptions {
    BasisOptions {
        components: Components::Fixed(usize::MAX),
        ..BasisOptions::default()
    }
}

fn bytes(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(bytes(&path));
        } else {
            files.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    files
}

/// The relative error of the products of what comes back, computed densely from the written folder.
fn error_of_folder(basis: &Basis, name: &str, original: &Adapter, scale: f64) -> f64 {
    let out = tempfile::tempdir().unwrap();
    basis.reconstruct(name, out.path()).unwrap();
    let folder = read_folder(out.path()).unwrap();
    assert_eq!(folder.config.lora_alpha, folder.config.r as f64);
    assert!(!folder.config.use_rslora);
    let back = Adapter {
        config: folder.config,
        tensors: folder.tensors,
    };
    let (mut error, mut norm) = (0.0, 0.0);
    for (site, ..) in SITES {
        let (expected, found) = (original.product(site, scale), back.product(site, 1.0));
        error += (&expected - found).norm_l2().powi(2);
        norm += expected.norm_l2().powi(2);
    }
    (error / norm).sqrt()
}

#[test]
fn adapters_of_mixed_rank_come_back_as_plain_lora_of_scale_one() {
    let root = tempfile::tempdir().unwrap();
    let ranks = [2, 3, 1, 2];
    let pool = Pool::open(&folders(root.path(), &ranks)).unwrap();
    for mean in [Mean::Uncentred, Mean::Direction, Mean::Stored] {
        let out = root.path().join(format!("{mean:?}"));
        let basis = Basis::build(&pool, &BasisOptions { mean, ..all() }, &out).unwrap();
        for (at, rank) in ranks.into_iter().enumerate() {
            let original = Adapter::new(rank, at as u64);
            let error = error_of_folder(&basis, &format!("adapter-{at}"), &original, 2.0);
            assert!(error < SINGLE, "{mean:?} {at}: {error}");
        }
        assert!(basis.info().unwrap().errors.product.relative() < SINGLE);
    }
    let reference = BasisOptions {
        mean: Mean::Reference,
        ..all()
    };
    // Few enough adapters that forgetting the mean is not made up for by components.
    let few = Pool::open(&folders(&root.path().join("few"), &[2, 2])).unwrap();
    let basis = Basis::build(&few, &reference, &root.path().join("reference")).unwrap();
    let error = basis.info().unwrap().errors.product.relative();
    assert!(error > 0.05, "{error}");
}

#[test]
fn the_errors_in_info_are_those_of_the_written_folders() {
    let root = tempfile::tempdir().unwrap();
    let pool = Pool::open(&folders(root.path(), &[2, 3, 1, 2])).unwrap();
    let options = BasisOptions {
        components: Components::Fixed(3),
        ..all()
    };
    for (folding, scale) in [(Folding::IntoB, 2.0), (Folding::None, 2.0)] {
        let pool = Pool::open(&folders(root.path(), &[2, 3, 1, 2]))
            .unwrap()
            .with_folding(folding);
        let basis =
            Basis::build(&pool, &options, &root.path().join(format!("{folding:?}"))).unwrap();
        let info = basis.info().unwrap();
        for (at, member) in info.members.iter().enumerate() {
            let original = Adapter::new(member.ranks.0, at as u64);
            let dense = error_of_folder(&basis, &member.name, &original, scale);
            let found = member.errors.product.relative();
            assert!(
                (found - dense).abs() < 1e-5 && dense > 0.05,
                "{folding:?} {at}: {found} {dense}"
            );
        }
    }
    drop(pool);
}

#[test]
fn a_folded_twin_gives_the_same_basis_bit_for_bit() {
    let root = tempfile::tempdir().unwrap();
    let adapters: Vec<Adapter> = (0..4).map(|at| Adapter::new(2, at)).collect();
    let write = |place: &str, fold: bool| -> Vec<PathBuf> {
        let each = adapters.iter().enumerate().map(|(at, adapter)| {
            let adapter = if fold {
                adapter.clone().folded()
            } else {
                adapter.clone()
            };
            adapter.write(&root.path().join(place).join(format!("adapter-{at}")))
        });
        each.collect()
    };
    let basis = |folders: &[PathBuf], out: &str| {
        let out = root.path().join(out);
        Basis::build(&Pool::open(folders).unwrap(), &all(), &out).unwrap();
        read_tensors(&out.join("components.safetensors")).unwrap()
    };
    let scaled = basis(&write("scaled", false), "basis-scaled");
    assert_eq!(scaled, basis(&write("folded", true), "basis-folded"));
}

#[test]
fn sizes_follow_the_formula_and_the_flat_variant_has_one_scalar_per_component() {
    let root = tempfile::tempdir().unwrap();
    let (count, rank, k) = (5, 2, 3);
    let pool = Pool::open(&folders(root.path(), &[2; 5])).unwrap();
    let widths: usize = SITES.iter().map(|(_, d_in, d_out)| d_in + d_out).sum();
    for (variant, mean, height, scalars) in [
        (Variant::Columns, Mean::Uncentred, widths, rank),
        (Variant::Flat, Mean::Uncentred, widths * rank, 1),
        (Variant::Flat, Mean::Stored, widths * rank, 1),
    ] {
        let options = BasisOptions {
            variant,
            mean,
            components: Components::Fixed(k),
            ..all()
        };
        let out = root.path().join(format!("{variant:?}-{mean:?}"));
        let basis = Basis::build(&pool, &options, &out).unwrap();
        let info = basis.info().unwrap();
        let means = if mean == Mean::Stored { height } else { 0 };
        assert_eq!(info.source_numbers, count * rank * widths);
        assert_eq!(info.component_numbers, k * height + means);
        assert_eq!(info.loading_numbers, count * SITES.len() * 2 * k * scalars);
        let expected =
            info.source_numbers as f64 / (info.component_numbers + info.loading_numbers) as f64;
        assert_eq!(info.factor_compression(), expected);
        let on_disk: u64 = bytes(&out).values().map(|file| file.len() as u64).sum();
        assert_eq!(info.shared_bytes + info.loadings_bytes(), on_disk);
    }
}

#[test]
fn a_basis_that_is_opened_again_is_the_same_bit_for_bit() {
    let root = tempfile::tempdir().unwrap();
    let pool = Pool::open(&folders(root.path(), &[2, 3])).unwrap();
    let options = BasisOptions {
        mean: Mean::Stored,
        components: Components::Variance(0.8),
        pseudo: 2,
        seed: 5,
        ..all()
    };
    let build = |out: &str| Basis::build(&pool, &options, &root.path().join(out)).unwrap();
    let (one, two) = (build("one"), build("two"));
    let names = |basis: &Basis| -> Vec<Vec<u8>> { bytes(basis.folder()).into_values().collect() };
    assert_eq!(names(&one), names(&two));
    let again = Basis::open(one.folder()).unwrap();
    assert_eq!(again.info().unwrap(), one.info().unwrap());
    assert_eq!(*again.options(), options);
    assert_eq!(again.info().unwrap().sites[0].a.pseudo, 2);
    let back = |basis: &Basis| {
        let out = tempfile::tempdir().unwrap();
        basis.reconstruct("adapter-1", out.path()).unwrap();
        fs::read(out.path().join(TENSOR_FILE)).unwrap()
    };
    assert_eq!(back(&one), back(&again));
}

#[test]
fn a_head_and_magnitudes_come_back_unchanged() {
    let root = tempfile::tempdir().unwrap();
    let mut adapter = Adapter::new(2, 0);
    adapter.config.use_dora = true;
    adapter.config.modules_to_save = vec!["classifier".into()];
    for (site, _, d_out) in SITES {
        adapter.put_vector(site, "lora_magnitude_vector", vec![1.5; d_out]);
    }
    adapter.put("classifier", "weight", &random(3, 9, 5));
    let folders = [
        adapter.write(&root.path().join("dora")),
        Adapter::new(3, 1).write(&root.path().join("plain")),
    ];
    let pool = Pool::open(&folders).unwrap();
    let basis = Basis::build(&pool, &all(), &root.path().join("basis")).unwrap();
    let out = root.path().join("out");
    basis.reconstruct("dora", &out).unwrap();
    let back = read_folder(&out).unwrap();
    assert!(back.config.use_dora);
    assert_eq!(back.config.modules_to_save, ["classifier"]);
    assert_eq!(back.tensors.len(), adapter.tensors.len());
    for (name, tensor) in &adapter.tensors {
        if !name.contains("lora_A") && !name.contains("lora_B") {
            assert_eq!(back.tensors[name], *tensor, "{name}");
        }
    }
    let error = basis.reconstruct("dora", &out).unwrap_err();
    assert!(
        matches!(error, RecycleError::File(FileError::Exists { .. })),
        "{error}"
    );
    let error = basis
        .reconstruct("absent", &root.path().join("o"))
        .unwrap_err();
    assert!(error.to_string().contains("it has: dora, plain"), "{error}");
}

#[test]
fn ranks_of_single_modules_come_back() {
    let root = tempfile::tempdir().unwrap();
    let mut adapter = Adapter::new(2, 0);
    adapter.config.rank_pattern = [("layer.2.q".to_owned(), 5)].into();
    adapter.put("layer.2.q", "lora_A.weight", &random(5, 12, 8));
    adapter.put("layer.2.q", "lora_B.weight", &random(9, 5, 9));
    let pool = Pool::open(&[adapter.write(&root.path().join("a"))]).unwrap();
    let basis = Basis::build(&pool, &all(), &root.path().join("basis")).unwrap();
    let out = root.path().join("out");
    basis.reconstruct("a", &out).unwrap();
    let again = Pool::open(&[&out]).unwrap();
    for (site, scale) in [("layer.0.q", 2.0), ("layer.2.q", 4.0 / 5.0)] {
        let factors = again.factors(0, site).unwrap().unwrap();
        let found = factors.b * factors.a.transpose();
        assert!(
            distance(&adapter.product(site, scale), &found) < SINGLE,
            "{site}"
        );
    }
    assert_eq!(again.members()[0].sites()["layer.2.q"].scale, 1.0);
    assert_eq!(
        read_tensors(&out.join(TENSOR_FILE)).unwrap()[&key("layer.2.q", "lora_A.weight")].shape,
        [5, 12]
    );
}
