//! Batch plans: every example once, within the limits, the same for the same seed.

#![allow(
    clippy::unwrap_used,
    reason = "a panic in a test helper is the failure report"
)]

use peft_train::data::{BatchOptions, BatchPlan};
use proptest::prelude::*;

fn options(batch_size: usize, max_tokens: Option<usize>) -> BatchOptions {
    BatchOptions {
        batch_size,
        max_tokens,
        group_by_length: true,
        seed: 42,
        epoch: 0,
    }
}

fn padding(plan: &BatchPlan, lengths: &[usize]) -> usize {
    let of_batch = |batch: &Vec<usize>| {
        let longest = batch.iter().map(|&i| lengths[i]).max().unwrap();
        batch.iter().map(|&i| longest - lengths[i]).sum::<usize>()
    };
    plan.batches().iter().map(of_batch).sum()
}

fn assert_is_a_plan(plan: &BatchPlan, lengths: &[usize], size: usize, tokens: Option<usize>) {
    let mut all: Vec<usize> = plan.batches().iter().flatten().copied().collect();
    all.sort_unstable();
    assert!(
        all.into_iter().eq(0..lengths.len()),
        "an index is missing or doubled"
    );
    for batch in plan.batches() {
        let longest = batch
            .iter()
            .map(|&i| lengths[i])
            .max()
            .expect("no batch is empty");
        assert!(batch.len() <= size);
        assert!(batch.len() == 1 || longest * batch.len() <= tokens.unwrap_or(usize::MAX));
    }
}

proptest! {
    #[test]
    fn every_index_comes_exactly_once_within_the_limits(
        lengths in prop::collection::vec(0_usize..200, 0..400),
        batch_size in 1_usize..40,
        max_tokens in prop::option::of(1_usize..1000),
        group_by_length in any::<bool>(),
        seed in any::<u64>(),
        epoch in 0_u64..5,
    ) {
        let options = BatchOptions { batch_size, max_tokens, group_by_length, seed, epoch };
        let plan = BatchPlan::new(&lengths, &options).unwrap();
        assert_is_a_plan(&plan, &lengths, batch_size, max_tokens);
        prop_assert_eq!(&plan, &BatchPlan::new(&lengths, &options).unwrap());
        let plan = BatchPlan::evaluation(&lengths, batch_size, max_tokens).unwrap();
        assert_is_a_plan(&plan, &lengths, batch_size, max_tokens);
        let results: Vec<usize> = plan.batches().iter().flatten().copied().collect();
        prop_assert!(plan.restore(results).into_iter().eq(0..lengths.len()));
    }
}

#[test]
fn seeds_and_epochs_give_different_plans() {
    let lengths: Vec<usize> = (0..500).map(|i| 5 + i * 7 % 60).collect();
    let plan = |seed, epoch| {
        BatchPlan::new(
            &lengths,
            &BatchOptions {
                seed,
                epoch,
                ..options(16, None)
            },
        )
        .unwrap()
    };
    assert_ne!(plan(1, 0), plan(2, 0));
    assert_ne!(plan(1, 0), plan(1, 1));
    assert_ne!(plan(1, 1), plan(2, 0));
}

// A new version of `rand` must not change the order of a run that is resumed.
#[test]
fn the_order_of_a_seed_is_pinned() {
    let plan = BatchPlan::new(&[3, 9, 4, 1, 5, 9, 2, 6], &options(3, None)).unwrap();
    assert_eq!(plan.batches(), [vec![1, 5, 7], vec![4, 2, 0], vec![6, 3]]);
}

#[test]
fn grouping_by_length_saves_most_of_the_padding() {
    let lengths: Vec<usize> = (0..2000).map(|i| 3 + i * 37 % 61).collect();
    let grouped = BatchPlan::new(&lengths, &options(16, None)).unwrap();
    let mixed = BatchOptions {
        group_by_length: false,
        ..options(16, None)
    };
    let mixed = BatchPlan::new(&lengths, &mixed).unwrap();
    assert_eq!(mixed.len(), 125);
    assert!(padding(&grouped, &lengths) * 10 < padding(&mixed, &lengths));
}

#[test]
fn evaluation_goes_from_the_longest_to_the_shortest() {
    let plan = BatchPlan::evaluation(&[2, 9, 4, 9], 2, None).unwrap();
    assert_eq!(plan.batches(), [vec![1, 3], vec![2, 0]]);
    let plan = BatchPlan::evaluation(&[2, 9, 4, 9], 4, Some(8)).unwrap();
    assert_eq!(plan.batches(), [vec![1], vec![3], vec![2, 0]]);
    assert_eq!(plan.restore(["b", "d", "c", "a"]), ["a", "b", "c", "d"]);
}

#[test]
fn a_batch_of_nothing_is_refused() {
    for (size, tokens, option) in [(0, None, "batch_size"), (1, Some(0), "max_tokens")] {
        let error = BatchPlan::new(&[1], &options(size, tokens))
            .unwrap_err()
            .to_string();
        assert!(error.starts_with(option), "{error}");
        assert!(BatchPlan::evaluation(&[1], size, tokens).is_err());
    }
}
