//! Metrics of values, as in SciPy, but 0 where SciPy warns and returns NaN.
//!
//! `None` stands for "no number": an input is not finite, or the result overflows. It becomes `null` in JSON.

/// Pearson's correlation: `sum (x - mx)(y - my) / sqrt(sum (x - mx)^2 sum (y - my)^2)`, from -1 to 1.
///
/// 0 when one side is constant (or there are fewer than two values), where SciPy returns NaN. `None` when a value is
/// not finite.
///
/// # Panics
/// When the slices differ in length.
pub fn pearson(predicted: &[f64], truth: &[f64]) -> Option<f64> {
    if !comparable(predicted, truth) {
        return None;
    }
    if is_constant(predicted) || is_constant(truth) {
        return Some(0.0);
    }
    let (x, y) = (standardized(predicted), standardized(truth));
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let correlation = dot(&x, &y) / (dot(&x, &x) * dot(&y, &y)).sqrt();
    correlation
        .is_finite()
        .then(|| correlation.clamp(-1.0, 1.0))
}

/// Spearman's correlation: Pearson's of the ranks, where equal values share the mean of their ranks.
///
/// 0 when one side is constant (or there are fewer than two values), where SciPy returns NaN. `None` when a value is
/// not finite.
///
/// # Panics
/// When the slices differ in length.
pub fn spearman(predicted: &[f64], truth: &[f64]) -> Option<f64> {
    if !comparable(predicted, truth) {
        return None;
    }
    pearson(&ranks(predicted), &ranks(truth))
}

/// The mean squared error: `sum (x - y)^2 / n`; 0 for no input. `None` when a value is not finite or the sum overflows.
///
/// # Panics
/// When the slices differ in length.
pub fn mse(predicted: &[f64], truth: &[f64]) -> Option<f64> {
    if !comparable(predicted, truth) {
        return None;
    }
    let sum: f64 = predicted
        .iter()
        .zip(truth)
        .map(|(x, y)| (x - y) * (x - y))
        .sum();
    let mean = sum / predicted.len().max(1) as f64;
    mean.is_finite().then_some(mean)
}

fn comparable(predicted: &[f64], truth: &[f64]) -> bool {
    assert_eq!(
        predicted.len(),
        truth.len(),
        "one prediction per true value"
    );
    predicted.iter().chain(truth).all(|value| value.is_finite())
}

fn is_constant(values: &[f64]) -> bool {
    values.iter().all(|value| *value == values[0])
}

/// The values minus their mean, divided by the largest of them, so that no square over- or underflows.
fn standardized(values: &[f64]) -> Vec<f64> {
    let largest = |values: &[f64]| values.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
    let scale = largest(values);
    let scaled: Vec<f64> = values.iter().map(|value| value / scale).collect();
    let mean = scaled.iter().sum::<f64>() / values.len() as f64;
    let centred: Vec<f64> = scaled.iter().map(|value| value - mean).collect();
    let scale = largest(&centred);
    centred.iter().map(|value| value / scale).collect()
}

/// Ranks from 1; equal values share the mean of their ranks.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    for tied in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let mean = (start + 1 + start + tied.len()) as f64 / 2.0;
        for &index in tied {
            ranks[index] = mean;
        }
        start += tied.len();
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_close(found: Option<f64>, expected: f64) {
        let found = found.expect("a finite result");
        assert!(
            (found - expected).abs() < 1e-12,
            "found {found}, expected {expected}"
        );
    }

    #[test]
    fn the_examples_of_the_scipy_manual_come_out_the_same() {
        // spearmanr([1,2,3,4,5], [5,6,7,8,7]) = 0.8207826816681233
        let rho = spearman(&[1.0, 2.0, 3.0, 4.0, 5.0], &[5.0, 6.0, 7.0, 8.0, 7.0]);
        assert_close(rho, 0.820_782_681_668_123_3);
        // pearsonr([1,2,3,4,5,6,7], [10,9,2.5,6,4,3,2]) = -0.828503883588428
        let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0];
        let r = pearson(&x, &[10.0, 9.0, 2.5, 6.0, 4.0, 3.0, 2.0]);
        assert_close(r, -0.828_503_883_588_428);
    }

    #[test]
    fn pearson_and_mse_match_a_hand_computation() {
        // x - mx = -1, 0, 1; y - my = -2, 1, 1: 3 / sqrt(2 * 6)
        assert_close(
            pearson(&[1.0, 2.0, 3.0], &[1.0, 4.0, 4.0]),
            3.0 / 12.0_f64.sqrt(),
        );
        assert_close(mse(&[1.0, 2.0, 3.0], &[1.0, 4.0, 4.0]), 5.0 / 3.0);
    }

    #[test]
    fn ties_share_the_mean_of_their_ranks() {
        assert_eq!(
            ranks(&[3.0, 1.0, 3.0, -0.0, 0.0, 3.0]),
            [5.0, 3.0, 5.0, 1.5, 1.5, 5.0]
        );
    }

    #[test]
    fn constant_and_empty_inputs_give_zero() {
        for metric in [pearson, spearman] {
            assert_eq!(metric(&[0.1, 0.1, 0.1], &[1.0, 2.0, 3.0]), Some(0.0));
            assert_eq!(metric(&[1.0, 2.0, 3.0], &[2.0, 2.0, 2.0]), Some(0.0));
            assert_eq!(metric(&[1.0], &[2.0]), Some(0.0));
            assert_eq!(metric(&[], &[]), Some(0.0));
        }
        assert_eq!(mse(&[], &[]), Some(0.0));
    }

    #[test]
    fn values_that_are_not_finite_give_no_number() {
        for metric in [pearson, spearman, mse] {
            assert_eq!(metric(&[f64::NAN, 1.0], &[0.0, 1.0]), None);
            assert_eq!(metric(&[0.0, 1.0], &[0.0, f64::INFINITY]), None);
        }
        assert_eq!(mse(&[1e300], &[-1e300]), None);
    }

    #[test]
    fn huge_and_tiny_values_neither_overflow_nor_vanish() {
        assert_close(
            pearson(&[1e300, 2e300, 3e300], &[1e-300, 2e-300, 3e-300]),
            1.0,
        );
        assert_close(pearson(&[f64::MAX, f64::MIN], &[0.0, 5e-324]), -1.0);
    }
}
