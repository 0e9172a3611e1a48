//! Properties of combinations: the identity, halves of the same, the order, the errors, heads.
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod support;

use std::path::{Path, PathBuf};

use faer::Mat;
use peft_recycle::{
    Arithmetic, CombineError, Combined, Components, Heads, Majority, Mode, Pool, combine,
};
use support::{Adapter, SITES, distance};

/// Relative distance that single precision explains.
const ROUNDING: f64 = 1e-6;

fn all(folders: &[PathBuf], weights: &[f64], mode: Mode, out: &Path) -> Combined {
    let pool = Pool::open(folders).unwrap();
    combine(&pool, weights, mode, &Heads::Average, out).unwrap()
}

fn product(folder: &Path, site: &str) -> Mat<f64> {
    let pool = Pool::open(&[folder]).unwrap();
    let factors = pool.factors(0, site).unwrap().unwrap();
    &factors.b * factors.a.transpose()
}

/// Folders of adapters of these ranks; the scale of each is 2.
fn written(root: &Path, ranks: &[usize]) -> (Vec<Adapter>, Vec<PathBuf>) {
    let adapters: Vec<Adapter> = (ranks.iter().enumerate())
        .map(|(at, rank)| Adapter::new(*rank, at as u64))
        .collect();
    (adapters, support::folders(root, ranks))
}

fn weighted(adapters: &[Adapter], weights: &[f64], site: &str) -> Mat<f64> {
    let mut products =
        (adapters.iter().zip(weights)).map(|(adapter, weight)| adapter.product(site, 2.0 * weight));
    let first = products.next().unwrap();
    products.fold(first, |sum, product| sum + product)
}

#[test]
fn one_adapter_with_weight_one_is_itself_in_every_mode() {
    let root = tempfile::tempdir().unwrap();
    let (adapters, folders) = written(root.path(), &[3]);
    let modes = [
        Mode::Cat,
        Mode::Exact,
        Mode::Svd(Components::Fixed(3)),
        Mode::Svd(Components::Variance(1.0)),
        Mode::Factors(Arithmetic::linear()),
        Mode::Factors(Arithmetic::ties(1.0, Majority::Total)),
        Mode::Factors(Arithmetic::dare_linear(1.0, 1)),
        Mode::Updates(Arithmetic::linear(), Components::Fixed(3)),
    ];
    for (at, mode) in modes.into_iter().enumerate() {
        let out = root.path().join(format!("out-{at}"));
        let combined = all(&folders, &[1.0], mode, &out);
        assert!(combined.error.relative() < ROUNDING, "{mode:?}");
        for (site, ..) in SITES {
            assert_eq!(combined.sites[site].rank, 3, "{mode:?}");
            let distance = distance(&adapters[0].product(site, 2.0), &product(&out, site));
            assert!(distance < ROUNDING, "{mode:?}: {distance}");
        }
    }
}

#[test]
fn two_halves_of_the_same_are_the_same() {
    let root = tempfile::tempdir().unwrap();
    let adapter = Adapter::new(4, 5);
    let folders = ["x", "y"].map(|name| adapter.write(&root.path().join(name)));
    let modes = [
        (Mode::Cat, 8),
        (Mode::Exact, 4),
        (Mode::Svd(Components::Fixed(99)), 4),
        (
            Mode::Updates(Arithmetic::linear(), Components::Fixed(99)),
            4,
        ),
    ];
    for (at, (mode, rank)) in modes.into_iter().enumerate() {
        let out = root.path().join(format!("out-{at}"));
        let combined = all(&folders, &[0.5, 0.5], mode, &out);
        for (site, ..) in SITES {
            assert_eq!(combined.sites[site].rank, rank, "{mode:?}");
            let distance = distance(&adapter.product(site, 2.0), &product(&out, site));
            assert!(distance < ROUNDING, "{mode:?}: {distance}");
        }
    }
    let out = root.path().join("nothing");
    let nothing = all(&folders, &[1.0, -1.0], Mode::Exact, &out);
    assert_eq!(nothing.sites[SITES[0].0].rank, 1);
    assert_eq!(product(&out, SITES[0].0).norm_max(), 0.0);
}

#[test]
fn ranks_mix_and_the_sum_is_exact() {
    let root = tempfile::tempdir().unwrap();
    let (adapters, folders) = written(root.path(), &[4, 8, 2]);
    let weights = [0.3, -1.5, 2.0];
    for (at, mode) in [Mode::Cat, Mode::Exact].into_iter().enumerate() {
        let out = root.path().join(format!("out-{at}"));
        let combined = all(&folders, &weights, mode, &out);
        assert!(combined.error.relative() < ROUNDING);
        for (site, d_in, d_out) in SITES {
            let rank = match mode {
                Mode::Cat => 14,
                _ => 14.min(d_in).min(d_out),
            };
            assert_eq!(combined.sites[site].rank, rank);
            let expected = weighted(&adapters, &weights, site);
            assert!(distance(&expected, &product(&out, site)) < ROUNDING);
        }
    }
}

#[test]
fn the_error_of_a_truncation_is_that_of_the_dropped_singular_values() {
    let root = tempfile::tempdir().unwrap();
    let (adapters, folders) = written(root.path(), &[4, 8]);
    let weights = [1.0, 0.5];
    for rank in [1, 3, 6] {
        let out = root.path().join(format!("out-{rank}"));
        let combined = all(&folders, &weights, Mode::Svd(Components::Fixed(rank)), &out);
        for (site, ..) in SITES {
            let dense = weighted(&adapters, &weights, site);
            let values = dense.singular_values().unwrap();
            let dropped = values[rank..]
                .iter()
                .map(|value| value.powi(2))
                .sum::<f64>();
            let found = &combined.sites[site];
            assert_eq!(found.rank, rank);
            let ratio = found.error.squared_error / dropped;
            assert!((ratio - 1.0).abs() < 1e-6, "{ratio}");
            let real = distance(&dense, &product(&out, site));
            assert!((real / found.error.relative() - 1.0).abs() < 1e-6);
        }
    }
}

#[test]
fn the_order_of_the_adapters_does_not_matter() {
    let root = tempfile::tempdir().unwrap();
    let (_, folders) = written(root.path(), &[3, 3, 3]);
    let (turned, weights) = (
        [folders[2].clone(), folders[0].clone(), folders[1].clone()],
        [1.0, -0.5, 0.25],
    );
    let turned_weights = [weights[2], weights[0], weights[1]];
    let few = Components::Fixed(4);
    let modes = [
        Mode::Cat,
        Mode::Exact,
        Mode::Svd(few),
        Mode::Factors(Arithmetic::linear()),
        Mode::Factors(Arithmetic::ties(0.5, Majority::Frequency)),
        Mode::Factors(Arithmetic::dare_ties(0.5, 9, Majority::Total)),
        Mode::Updates(Arithmetic::dare_linear(0.5, 9), few),
        Mode::Updates(Arithmetic::magnitude_prune(0.5), few),
    ];
    for (at, mode) in modes.into_iter().enumerate() {
        let [one, other] = ["one", "other"].map(|name| root.path().join(format!("{name}-{at}")));
        all(&folders, &weights, mode, &one);
        all(&turned, &turned_weights, mode, &other);
        for (site, ..) in SITES {
            let distance = distance(&product(&one, site), &product(&other, site));
            assert!(distance < ROUNDING, "{mode:?}: {distance}");
        }
    }
}

#[test]
fn a_site_that_one_adapter_lacks_is_zero_there() {
    let root = tempfile::tempdir().unwrap();
    let (adapters, mut folders) = written(root.path(), &[2, 3]);
    let mut small = adapters[1].clone();
    let (gone, ..) = SITES[1];
    small.tensors.retain(|key, _| !key.contains(gone));
    small.config.target = Some(peft_core::target::Target::List(vec!["v".into()]));
    folders[1] = small.write(&root.path().join("small"));
    let out = root.path().join("out");
    let combined = all(&folders, &[2.0, 1.0], Mode::Exact, &out);
    assert_eq!(combined.sites[gone].members, ["adapter-0"]);
    assert_eq!(combined.sites[gone].rank, 2);
    assert!(distance(&adapters[0].product(gone, 4.0), &product(&out, gone)) < ROUNDING);
    let (both, ..) = SITES[0];
    let expected = weighted(&adapters, &[2.0, 1.0], both);
    assert!(distance(&expected, &product(&out, both)) < ROUNDING);
}

#[test]
fn what_cannot_be_combined_is_said_and_nothing_is_written() {
    let root = tempfile::tempdir().unwrap();
    let (_, folders) = written(root.path(), &[4, 8]);
    let pool = Pool::open(&folders).unwrap();
    let out = root.path().join("out");
    let fails = |weights: &[f64], mode| {
        let error = combine(&pool, weights, mode, &Heads::Average, &out).unwrap_err();
        assert!(!out.exists());
        error
    };
    let linear = Mode::Factors(Arithmetic::linear());
    let message = fails(&[1.0, 1.0], linear).to_string();
    assert!(
        message.contains("4 in `adapter-0`, 8 in `adapter-1`"),
        "{message}"
    );
    assert!(matches!(
        fails(&[1.0], Mode::Cat),
        CombineError::Weights {
            expected: 2,
            found: 1
        }
    ));
    assert!(matches!(
        fails(&[1.0, f64::NAN], Mode::Cat),
        CombineError::Weight { .. }
    ));
    let dense = Mode::Factors(Arithmetic::ties(2.0, Majority::Total));
    assert!(matches!(
        fails(&[1.0, 1.0], dense),
        CombineError::Density { .. }
    ));
    let huge = fails(&[1e39, 1e39], Mode::Cat);
    let CombineError::Site { source, .. } = huge else {
        panic!("{huge}");
    };
    assert!(source.to_string().contains("smaller weights"), "{source}");
    let mut dora = Adapter::new(4, 3);
    dora.config.use_dora = true;
    for (site, _, d_out) in SITES {
        dora.put_vector(site, "lora_magnitude_vector", vec![1.0; d_out]);
    }
    let pool = Pool::open(&[dora.write(&root.path().join("dora"))]).unwrap();
    let error = combine(&pool, &[1.0], Mode::Cat, &Heads::Average, &out).unwrap_err();
    assert!(matches!(error, CombineError::Dora { .. }), "{error}");
}

#[test]
fn heads_are_averaged_or_picked() {
    let root = tempfile::tempdir().unwrap();
    let head = |seed: u64, values: Vec<f32>| {
        let mut adapter = Adapter::new(2, seed);
        adapter.config.modules_to_save = vec!["classifier".into()];
        adapter.put_vector("classifier", "bias", values);
        adapter
    };
    let folders = [
        head(1, vec![1.0, 2.0]).write(&root.path().join("one")),
        head(2, vec![5.0, -2.0]).write(&root.path().join("two")),
    ];
    let pool = Pool::open(&folders).unwrap();
    let found = |weights: &[f64], heads: &Heads, name: &str| {
        let out = root.path().join(name);
        let combined = combine(&pool, weights, Mode::Cat, heads, &out).unwrap();
        let key = "base_model.model.classifier.bias";
        assert_eq!(combined.carried, [key]);
        let pool = Pool::open(&[&out]).unwrap();
        assert_eq!(pool.members()[0].config().modules_to_save, ["classifier"]);
        pool.members()[0].carried().unwrap()[key].data.clone()
    };
    assert_eq!(found(&[3.0, 1.0], &Heads::Average, "average"), [2.0, 1.0]);
    let two = Heads::Of("two".to_owned());
    assert_eq!(found(&[1.0, -1.0], &two, "picked"), [5.0, -2.0]);
    let out = root.path().join("out");
    let fails = |pool: &Pool, weights: &[f64], heads: &Heads| {
        let error = combine(pool, weights, Mode::Cat, heads, &out).unwrap_err();
        assert!(!out.exists());
        error.to_string()
    };
    for weights in [[1.0, -1.0], [0.1 + 0.2, -0.3]] {
        let message = fails(&pool, &weights, &Heads::Average);
        assert!(message.contains("add up to zero"), "{message}");
    }
    let message = fails(&pool, &[1.0, 1.0], &Heads::Of("six".into()));
    assert!(message.contains("one, two"), "{message}");
    let larger = head(3, vec![0.0; 3]).write(&root.path().join("larger"));
    let without = Adapter::new(2, 4).write(&root.path().join("without"));
    for (other, word) in [(larger, "[3]"), (without, "is missing in without")] {
        let pool = Pool::open(&[folders[0].clone(), other]).unwrap();
        let message = fails(&pool, &[1.0, 1.0], &Heads::Average);
        assert!(message.contains(word), "{message}");
    }
}
