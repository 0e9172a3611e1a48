//! Bounded scores.

use super::{Case, composed};
use crate::testing::{assert_close, device, wide};

/// `c tanh(s / c)`.
pub(super) fn bounded(cap: Option<f64>, score: f64) -> f64 {
    cap.map_or(score, |cap| cap * (score / cap).tanh())
}

/// Its derivative, from the bounded score.
pub(super) fn slope(cap: Option<f64>, bounded: f64) -> f64 {
    cap.map_or(1.0, |cap| 1.0 - (bounded / cap).powi(2))
}

#[test]
fn bounded_scores_have_the_output_and_gradients_of_the_formula() {
    // Scores of up to 2.8 are bounded tightly, and hardly at all.
    for cap in [0.5, 50.0] {
        for sizes in [[2, 4, 2, 30, 30, 16], [1, 2, 1, 50, 1500, 4]] {
            let mut case = Case::new(sizes, 8).causal(20);
            case.cap = Some(cap);
            case.check_fused();
            case.bias = None;
            case.check_fused();
        }
    }
}

#[test]
fn the_composition_and_dropout_of_bounded_scores_agree() {
    let mut case = Case::new([2, 2, 1, 12, 12, 8], 9).causal(1000);
    case.cap = Some(0.7);
    for dropout in [None, Some((0.3, 4))] {
        let found = case.run(&device(), true, dropout, super::attention);
        let expected = case.run(&device(), true, dropout, composed);
        for (found, expected) in found.iter().zip(&expected) {
            assert_close(found, &wide(expected), super::ABSOLUTE, super::RELATIVE);
        }
    }
}
