//! Metrics of classes, as in scikit-learn.

use std::collections::BTreeMap;

/// The share of right predictions: `correct / n`; 0 when there are none.
///
/// # Panics
/// When the slices differ in length.
pub fn accuracy(predicted: &[usize], truth: &[usize]) -> f64 {
    check(predicted, truth);
    let correct = predicted.iter().zip(truth).filter(|(p, t)| p == t).count();
    ratio(correct as f64, predicted.len() as f64)
}

/// F1 of class 1 against all others: `2 tp / (2 tp + fp + fn)`.
///
/// 0 when class 1 is neither predicted nor true, as scikit-learn with `zero_division=0`.
///
/// # Panics
/// When the slices differ in length.
pub fn f1_binary(predicted: &[usize], truth: &[usize]) -> f64 {
    check(predicted, truth);
    counts(predicted, truth).get(&1).map_or(0.0, Counts::f1)
}

/// The mean of the F1 of every class that is predicted or true (scikit-learn's `average="macro"`); 0 for no input.
///
/// # Panics
/// When the slices differ in length.
pub fn f1_macro(predicted: &[usize], truth: &[usize]) -> f64 {
    check(predicted, truth);
    let counts = counts(predicted, truth);
    ratio(counts.values().map(Counts::f1).sum(), counts.len() as f64)
}

/// The Matthews correlation coefficient, of two classes or more, from -1 to 1.
///
/// `(c n - sum_k p_k t_k) / sqrt((n^2 - sum_k p_k^2) (n^2 - sum_k t_k^2))`, where `c` of `n` predictions are right and
/// class `k` is predicted `p_k` and true `t_k` times. 0 when all predictions or all truths are one class.
///
/// # Panics
/// When the slices differ in length.
pub fn matthews(predicted: &[usize], truth: &[usize]) -> f64 {
    check(predicted, truth);
    let n = predicted.len() as f64;
    let counts = counts(predicted, truth);
    let sum = |term: fn(&Counts) -> f64| counts.values().map(term).sum::<f64>();
    let covariance = sum(|k| k.both) * n - sum(|k| k.predicted * k.truth);
    let of_predicted = n * n - sum(|k| k.predicted * k.predicted);
    let of_truth = n * n - sum(|k| k.truth * k.truth);
    ratio(covariance, (of_predicted * of_truth).sqrt())
}

/// How often a class is predicted, true, and both.
#[derive(Default)]
struct Counts {
    predicted: f64,
    truth: f64,
    both: f64,
}

impl Counts {
    fn f1(&self) -> f64 {
        ratio(2.0 * self.both, self.predicted + self.truth)
    }
}

fn counts(predicted: &[usize], truth: &[usize]) -> BTreeMap<usize, Counts> {
    let mut counts: BTreeMap<usize, Counts> = BTreeMap::new();
    for (&p, &t) in predicted.iter().zip(truth) {
        counts.entry(p).or_default().predicted += 1.0;
        let of_truth = counts.entry(t).or_default();
        of_truth.truth += 1.0;
        of_truth.both += f64::from(u8::from(p == t));
    }
    counts
}

fn ratio(part: f64, whole: f64) -> f64 {
    if whole == 0.0 { 0.0 } else { part / whole }
}

fn check(predicted: &[usize], truth: &[usize]) {
    assert_eq!(
        predicted.len(),
        truth.len(),
        "one prediction per true class"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_close(found: f64, expected: f64) {
        assert!(
            (found - expected).abs() < 1e-12,
            "found {found}, expected {expected}"
        );
    }

    #[test]
    fn a_binary_confusion_of_3_1_2_4_gives_the_values_of_the_formulas() {
        // tp 3, fp 1, fn 2, tn 4
        let truth = [1, 1, 1, 0, 1, 1, 0, 0, 0, 0];
        let predicted = [1, 1, 1, 1, 0, 0, 0, 0, 0, 0];
        assert_close(accuracy(&predicted, &truth), 0.7);
        assert_close(f1_binary(&predicted, &truth), 6.0 / 9.0);
        assert_close(f1_macro(&predicted, &truth), (6.0 / 9.0 + 8.0 / 11.0) / 2.0);
        // (tp tn - fp fn) / sqrt((tp+fp)(tp+fn)(tn+fp)(tn+fn))
        assert_close(
            matthews(&predicted, &truth),
            10.0 / (4.0_f64 * 5.0 * 5.0 * 6.0).sqrt(),
        );
    }

    #[test]
    fn the_examples_of_the_scikit_learn_manual_come_out_the_same() {
        // f1_score: y_true [0,1,2,0,1,2], y_pred [0,2,1,0,0,1], macro 0.2666..
        assert_close(
            f1_macro(&[0, 2, 1, 0, 0, 1], &[0, 1, 2, 0, 1, 2]),
            0.8 / 3.0,
        );
        // matthews_corrcoef: y_true [1,1,1,-1], y_pred [1,-1,1,1], -0.33..
        assert_close(matthews(&[1, 0, 1, 1], &[1, 1, 1, 0]), -1.0 / 3.0);
    }

    #[test]
    fn matthews_of_three_classes_follows_the_general_formula() {
        // c 3, n 5, p = t = (2, 2, 1): (15 - 9) / (25 - 9)
        assert_close(matthews(&[0, 1, 1, 0, 2], &[0, 0, 1, 1, 2]), 0.375);
        assert_close(matthews(&[0, 1, 2], &[0, 1, 2]), 1.0);
    }

    #[test]
    fn constant_and_empty_inputs_give_zero() {
        assert_eq!(matthews(&[1, 1, 1], &[0, 1, 0]), 0.0);
        assert_eq!(matthews(&[0, 1, 0], &[1, 1, 1]), 0.0);
        assert_eq!(f1_binary(&[0, 0], &[0, 0]), 0.0);
        for metric in [accuracy, f1_binary, f1_macro, matthews] {
            assert_eq!(metric(&[], &[]), 0.0);
        }
    }

    #[test]
    #[should_panic(expected = "one prediction per true class")]
    fn slices_of_different_length_are_refused() {
        accuracy(&[1], &[1, 0]);
    }
}
