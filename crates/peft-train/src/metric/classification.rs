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

/// How the values of several classes become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Average {
    /// Every class that is predicted or true counts the same (scikit-learn's `average="macro"`).
    Macro,
    /// Every class counts as often as it is true (`average="weighted"`).
    Weighted,
}

/// The value of one class against all others; 0 when it is neither predicted nor true, as scikit-learn with `zero_division=0`.
pub(super) fn of_class(
    predicted: &[usize],
    truth: &[usize],
    class: usize,
    value: fn(&Counts) -> f64,
) -> f64 {
    check(predicted, truth);
    counts(predicted, truth).get(&class).map_or(0.0, value)
}

/// The mean of the values of all classes; 0 for no input.
pub(super) fn mean(
    predicted: &[usize],
    truth: &[usize],
    value: fn(&Counts) -> f64,
    average: Average,
) -> f64 {
    check(predicted, truth);
    let counts = counts(predicted, truth);
    let weight = |class: &Counts| match average {
        Average::Macro => 1.0,
        Average::Weighted => class.truth,
    };
    let sum = counts.values().map(|class| weight(class) * value(class));
    ratio(sum.sum(), counts.values().map(weight).sum())
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
pub(super) struct Counts {
    predicted: f64,
    truth: f64,
    both: f64,
}

impl Counts {
    /// `2 tp / (2 tp + fp + fn)`.
    pub(super) fn f1(&self) -> f64 {
        ratio(2.0 * self.both, self.predicted + self.truth)
    }

    /// `tp / (tp + fp)`.
    pub(super) fn precision(&self) -> f64 {
        ratio(self.both, self.predicted)
    }

    /// `tp / (tp + fn)`.
    pub(super) fn recall(&self) -> f64 {
        ratio(self.both, self.truth)
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

    fn f1_binary(predicted: &[usize], truth: &[usize]) -> f64 {
        of_class(predicted, truth, 1, Counts::f1)
    }

    fn f1_macro(predicted: &[usize], truth: &[usize]) -> f64 {
        mean(predicted, truth, Counts::f1, Average::Macro)
    }

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
        let of = |class, value| of_class(&predicted, &truth, class, value);
        assert_close(of(1, Counts::precision), 0.75);
        assert_close(of(1, Counts::recall), 0.6);
        assert_close(of(0, Counts::recall), 0.8);
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
        // the same with average="weighted", and precision and recall, macro: 0.2666.., 0.2222.., 0.3333..
        let both = |value, average| mean(&[0, 2, 1, 0, 0, 1], &[0, 1, 2, 0, 1, 2], value, average);
        assert_close(both(Counts::f1, Average::Weighted), 0.8 / 3.0);
        assert_close(both(Counts::precision, Average::Macro), 2.0 / 9.0);
        assert_close(both(Counts::recall, Average::Macro), 1.0 / 3.0);
        // f1_score: y_true [0,0,0,1], y_pred [0,0,1,1], weighted: (3 * 0.8 + 2/3) / 4
        assert_close(
            mean(&[0, 0, 1, 1], &[0, 0, 0, 1], Counts::f1, Average::Weighted),
            (2.4 + 2.0 / 3.0) / 4.0,
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
