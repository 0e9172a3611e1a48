//! The one table of tolerances, and the comparison that uses it.

/// How far two numbers may be apart: `|x - y| <= max(absolute, relative * max(|x|, |y|))`.
#[derive(Debug, Clone, Copy)]
pub struct Tolerance {
    /// Share of the larger magnitude.
    pub relative: f64,
    /// Floor for numbers near zero.
    pub absolute: f64,
}

const fn tolerance(relative: f64, absolute: f64) -> Tolerance {
    Tolerance { relative, absolute }
}

/// Elementwise f32 arithmetic.
pub const ELEMENTWISE: Tolerance = tolerance(1e-6, 1e-6);
/// Chains of f32 products with inner dimension up to 1024.
pub const MATMUL: Tolerance = tolerance(1e-5, 1e-6);
/// Gradients through several layers in f32, against another implementation.
pub const GRADIENT: Tolerance = tolerance(5e-5, 1e-6);
/// Several optimizer steps after each other, against another implementation in f32.
pub const STEPS: Tolerance = tolerance(1e-4, 2e-6);
/// Whole transformer encoders in f32, against another implementation.
pub const MODEL: Tolerance = tolerance(1e-4, 1e-4);
/// Reconstruction after SVD or QR in f32.
pub const DECOMPOSITION: Tolerance = tolerance(5e-4, 1e-5);
/// Values that went through bf16.
pub const BF16: Tolerance = tolerance(5e-2, 5e-2);
/// The CPU against a GPU.
pub const DEVICE: Tolerance = tolerance(1e-3, 1e-4);

/// Asserts that two slices agree.
///
/// # Panics
/// When the lengths differ, a number is NaN, or a pair is further apart than allowed; the message names the worst.
#[track_caller]
pub fn assert_close(what: &str, actual: &[f32], expected: &[f32], tolerance: Tolerance) {
    assert_eq!(actual.len(), expected.len(), "{what}: lengths");
    let mut worst = (0.0f64, 0usize);
    for (index, (a, e)) in actual.iter().zip(expected).enumerate() {
        let (a, e) = (f64::from(*a), f64::from(*e));
        assert!(
            !a.is_nan() && !e.is_nan(),
            "{what}[{index}]: {a} against {e}"
        );
        let allowed = tolerance
            .absolute
            .max(tolerance.relative * a.abs().max(e.abs()));
        let excess = (a - e).abs() / allowed;
        if excess > worst.0 {
            worst = (excess, index);
        }
    }
    let (excess, index) = worst;
    assert!(
        excess <= 1.0,
        "{what}[{index}]: {} against {}, {excess:.1} times the tolerance {tolerance:?}",
        actual[index],
        expected[index],
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "times the tolerance")]
    fn a_difference_beyond_the_tolerance_fails() {
        assert_close("x", &[1.0, 1.1], &[1.0, 1.0], MATMUL);
    }

    #[test]
    #[should_panic(expected = "against NaN")]
    fn a_nan_never_passes() {
        assert_close("x", &[f32::NAN], &[f32::NAN], BF16);
    }

    #[test]
    fn equal_numbers_pass() {
        assert_close("x", &[1.0, -3e-9], &[1.000_001, 0.0], MATMUL);
    }
}
