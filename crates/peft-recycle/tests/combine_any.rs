//! Combinations of adapters of any ranks with any weights: the report and the folder against the dense sum.
#![allow(clippy::unwrap_used, reason = "a panic is the failure report")]

mod support;

use faer::Mat;
use peft_recycle::{Components, Heads, Mode, Pool, combine};
use proptest::prelude::*;
use support::{Adapter, SITES, folders};

/// What single precision and the norms of the terms explain.
const ROUNDING: f64 = 1e-6;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_nearest_update_of_the_rank_is_found(
        members in prop::collection::vec((1..9_usize, -2.0..2.0_f64), 1..4),
        rank in 1..12_usize,
    ) {
        let root = tempfile::tempdir().unwrap();
        let (ranks, weights): (Vec<usize>, Vec<f64>) = members.into_iter().unzip();
        let pool = Pool::open(&folders(root.path(), &ranks)).unwrap();
        let adapters: Vec<Adapter> = ranks
            .iter()
            .enumerate()
            .map(|(at, rank)| Adapter::new(*rank, at as u64))
            .collect();
        let modes = [Mode::Cat, Mode::Exact, Mode::Svd(Components::Fixed(rank))];
        for (at, mode) in modes.into_iter().enumerate() {
            let out = root.path().join(format!("out-{at}"));
            let combined = combine(&pool, &weights, mode, &Heads::Average, &out).unwrap();
            let written = Pool::open(&[&out]).unwrap();
            for (site, d_in, d_out) in SITES {
                let mut dense = Mat::<f64>::zeros(d_out, d_in);
                let mut size = 0.0;
                for (adapter, weight) in adapters.iter().zip(&weights) {
                    let term = adapter.product(site, 2.0 * weight);
                    size += term.norm_l2();
                    dense += term;
                }
                let values = dense.singular_values().unwrap();
                let kept = match mode {
                    Mode::Svd(_) => rank.min(values.len()),
                    _ => values.len(),
                };
                let dropped = values[kept..].iter().map(|value| value.powi(2)).sum::<f64>().sqrt();
                let factors = written.factors(0, site).unwrap().unwrap();
                let real = (&dense - &factors.b * factors.a.transpose()).norm_l2();
                let told = combined.sites[site].error.squared_error.sqrt();
                prop_assert!((real - dropped).abs() <= ROUNDING * size, "{mode:?}: {real} {dropped}");
                prop_assert!((told - real).abs() <= 1e-12 * size, "{mode:?}: {told} {real}");
            }
        }
    }
}
