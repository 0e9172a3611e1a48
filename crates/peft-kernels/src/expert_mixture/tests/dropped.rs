//! Mixtures whose experts see dropped inputs.

use burn::tensor::{Device, Int, Tensor};
use proptest::prelude::*;

use super::case::{Case, Sizes};
use super::{SMALL, sizes};
use crate::expert_mixture::{Experts, Routing, expert_mixture, expert_mixture_dense};
use crate::testing::{device, values};

proptest! {
    #[test]
    fn output_and_all_gradients_have_the_masks_of_their_expert(
        sizes in sizes(), p in 0.05_f64..0.9, seed: u64,
    ) {
        let mut case = Case::new(sizes, seed);
        case.dropout = Some((p, seed));
        case.assert_close(&case.run(&device(), expert_mixture));
        case.credited_by_weights().assert_slopes();
    }
}

#[test]
fn rows_of_whole_blocks_have_the_masks_of_the_composition() {
    let mut case = Case::new(Sizes { d_in: 64, ..SMALL }, 1);
    case.dropout = Some((0.3, 8));
    case.assert_close(&case.run(&device(), expert_mixture));
    case.assert_close(&case.run(&device(), expert_mixture_dense));
}

#[test]
fn the_masks_follow_from_the_seed() {
    let mut case = Case::new(SMALL, 2);
    let mut run = |seed| {
        case.dropout = Some((0.3, seed));
        case.run(&device(), expert_mixture)
    };
    let first = run(1);
    assert_eq!(first, run(1));
    assert_ne!(first[0], run(2)[0]);
}

#[test]
fn the_experts_of_a_row_and_the_rows_of_an_expert_have_masks_of_their_own() {
    let (rows, d) = (400, 20);
    let device = Device::flex();
    // Each expert hands on what it sees.
    let one = Tensor::<2>::eye(d, &device);
    let experts = Experts {
        a: Tensor::cat(vec![one.clone(), one.clone()], 1),
        b: Tensor::cat(vec![one.clone(), one], 0),
        count: 2,
    };
    let seen = |expert: usize| {
        let mut weights = [[0.0, 0.0]];
        weights[0][expert] = 1.0;
        let weights = Tensor::<2>::from_floats(weights, &device).repeat_dim(0, rows);
        let routing = Routing {
            credits: weights.clone(),
            weights,
            chosen: Tensor::<2, Int>::from_ints([[0, 1]], &device).repeat_dim(0, rows),
        };
        let ones = Tensor::ones([rows, d], &device);
        values(expert_mixture(
            ones,
            experts.clone(),
            routing,
            Some((0.5, 5)),
        ))
    };
    let masks = [seen(0), seen(1)].map(|y| y.iter().map(|v| *v != 0.0).collect::<Vec<_>>());
    let n = rows * d;
    let plausible = |count: usize, expected: f64| {
        let deviation = (expected * 0.75).sqrt();
        assert!(
            (count as f64 - expected).abs() < 5.0 * deviation,
            "{count} of {n}"
        );
    };
    let both =
        |left: &[bool], right: &[bool]| left.iter().zip(right).filter(|(l, r)| **l && **r).count();
    plausible(both(&masks[0], &masks[0]), n as f64 / 2.0);
    plausible(both(&masks[0], &masks[1]), n as f64 / 4.0);
    plausible(both(&masks[0], &masks[0][d..]), (n - d) as f64 / 4.0);
}

#[test]
fn the_expectation_is_the_mixture_without_dropout() {
    let mut case = Case::new(SMALL, 3);
    let expected = values(case.apply(&case.inputs(&Device::flex()), expert_mixture));
    let count = 2000;
    let (mut sums, mut squares) = (vec![0.0; expected.len()], vec![0.0; expected.len()]);
    for seed in 0..count {
        case.dropout = Some((0.4, seed));
        let y = values(case.apply(&case.inputs(&Device::flex()), expert_mixture));
        for (i, y) in y.iter().enumerate() {
            let off = f64::from(y - expected[i]);
            sums[i] += off;
            squares[i] += off * off;
        }
    }
    for (sum, square) in sums.iter().zip(&squares) {
        assert!(
            *square > 0.0 && sum.abs() < 5.0 * square.sqrt(),
            "{sum}, {square}"
        );
    }
}

#[test]
fn the_ends_of_the_range_of_probabilities_are_exact() {
    let mut case = Case::new(SMALL, 4);
    let plain = case.run(&device(), expert_mixture);
    case.dropout = Some((0.0, 1));
    assert_eq!(case.run(&device(), expert_mixture), plain);
    case.dropout = Some((1.0, 1));
    for mixture in [expert_mixture, expert_mixture_dense] {
        let zeros = case.run(&device(), mixture);
        assert!(zeros.iter().flatten().all(|v| *v == 0.0));
    }
}
