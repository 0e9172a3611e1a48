//! Every rule by hand.

use super::*;

fn row(values: &[f64]) -> Mat<f64> {
    Mat::from_fn(1, values.len(), |_, column| values[column])
}

fn merged(rule: Arithmetic, weights: &[f64], tensors: &[&[f64]]) -> Vec<f64> {
    let named: Vec<(String, f64)> = weights
        .iter()
        .enumerate()
        .map(|(at, weight)| (at.to_string(), *weight))
        .collect();
    let sum = rule.apply((1, tensors[0].len()), &named, |at| row(tensors[at]));
    sum.row(0).iter().copied().collect()
}

#[test]
fn the_largest_magnitudes_are_kept_and_the_count_is_rounded_down() {
    let tensor: &[f64] = &[0.1, -3.0, 2.0, -0.5, 1.0];
    let kept = |density| merged(Arithmetic::magnitude_prune(density), &[2.0], &[tensor]);
    assert_eq!(kept(0.5), [0.0, -6.0, 4.0, 0.0, 0.0]);
    assert_eq!(kept(0.0), [0.0; 5]);
    assert_eq!(kept(1.0), [0.2, -6.0, 4.0, -1.0, 2.0]);
    let equal: &[f64] = &[1.0, -1.0, 1.0, 1.0];
    let first = merged(Arithmetic::magnitude_prune(0.5), &[1.0], &[equal]);
    assert_eq!(first, [1.0, -1.0, 0.0, 0.0]);
}

#[test]
fn the_elected_sign_is_that_of_the_sum_or_of_the_majority_whatever_the_weights() {
    let tensors: [&[f64]; 3] = [&[5.0, 1.0, -2.0], &[-1.0, 2.0, 2.0], &[-1.0, -4.0, 0.0]];
    let weights = [1.0, 10.0, 100.0];
    let total = merged(Arithmetic::ties(1.0, Majority::Total), &weights, &tensors);
    // Sums 3, -1 and 0, of which the last counts as positive.
    assert_eq!(total, [5.0, -400.0, 20.0]);
    let frequency = Arithmetic::ties(1.0, Majority::Frequency);
    let frequency = merged(frequency, &weights, &tensors);
    assert_eq!(frequency, [-55.0, 10.5, 20.0]);
}

#[test]
fn random_entries_keep_the_mean_and_are_those_of_the_name() {
    let tensor = vec![1.0; 20_000];
    let rule = Arithmetic::dare_linear(0.3, 7);
    let one = merged(rule, &[1.0], &[&tensor]);
    let kept = one.iter().filter(|value| **value != 0.0).count();
    assert!((5_700..6_300).contains(&kept), "{kept}");
    assert!(one.iter().all(|value| *value == 0.0 || *value == 1.0 / 0.3));
    assert_eq!(one, merged(rule, &[1.0], &[&tensor]));
    let other = merged(Arithmetic::dare_linear(0.3, 8), &[1.0], &[&tensor]);
    assert_ne!(one, other);
    let all = merged(Arithmetic::dare_linear(1.0, 7), &[1.0], &[&tensor]);
    assert_eq!(all, tensor);
    let both = merged(rule, &[1.0, -1.0], &[&tensor, &tensor]);
    assert!(both.iter().any(|value| *value != 0.0), "one mask for both");
}

#[test]
fn densities_outside_of_their_range_are_refused() {
    for density in [-0.1, 1.1, f64::NAN] {
        assert!(Arithmetic::magnitude_prune(density).check().is_err());
        assert!(Arithmetic::dare_linear(density, 0).check().is_err());
    }
    assert!(Arithmetic::magnitude_prune(0.0).check().is_ok());
    assert!(
        Arithmetic::dare_ties(0.0, 0, Majority::Total)
            .check()
            .is_err()
    );
    assert!(Arithmetic::linear().check().is_ok());
}
