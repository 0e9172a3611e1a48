//! f32 functions that the compiler can vectorise: straight-line code, selects instead of branches.
//!
//! All are `inline(always)`, so that they take the instruction set of the kernel they are used in.

use pulp::Simd;

/// Partial results of a reduction side by side: one AVX-512 register, two of AVX2.
const LANES: usize = 16;
/// The same for long rows, where the latency of an addition counts.
const WIDE: usize = 32;

/// `a * b + c`, fused where the instruction set has it (elsewhere `f32::mul_add` is a slow library call).
#[inline(always)]
pub(crate) fn mul_add<S: Simd>(a: f32, b: f32, c: f32) -> f32 {
    if S::IS_SCALAR {
        a * b + c
    } else {
        a.mul_add(b, c)
    }
}

/// `e^x` to about one unit in the last place; 0 below `ln(2^-126)`, infinity above 88.376; NaN stays NaN.
///
/// The coefficients are those of `expf` in S. L. Moshier's Cephes library (`exp(r) - 1 - r` over `|r| <= ln(2) / 2`).
#[inline(always)]
pub(crate) fn exp<S: Simd>(x: f32) -> f32 {
    const HIGHEST: f32 = 88.376_26;
    const LOWEST: f32 = -87.336_54;
    /// Adding it leaves the nearest integer in the low bits of the mantissa.
    const ROUND: f32 = 12_582_912.0;
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    const ONE_BITS: u32 = 0x3f80_0000;
    let shifted = mul_add::<S>(x, std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = mul_add::<S>(n, -LN_2_LOW, mul_add::<S>(n, -LN_2_HIGH, x));
    let mut p = 1.987_569_1e-4;
    for c in [
        1.398_199_9e-3,
        8.333_452e-3,
        4.166_579_6e-2,
        1.666_666_5e-1,
        5.000_000_1e-1,
    ] {
        p = mul_add::<S>(p, r, c);
    }
    let y = mul_add::<S>(p, r * r, r) + 1.0;
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(ONE_BITS)); // 2^n
    let y = y * power;
    let y = if x < LOWEST { 0.0 } else { y };
    if x > HIGHEST { f32::INFINITY } else { y }
}

/// The standard normal distribution at `x`: `(Phi(x), e^(-x^2 / 2))`.
///
/// `erfc(z) = t (a1 + a2 t + .. + a5 t^4) e^(-z^2)`, `t = 1 / (1 + 0.3275911 z)`, `z >= 0`: C. Hastings,
/// *Approximations for Digital Computers* (1955); formula 7.1.26 of Abramowitz and Stegun, |error| <= 1.5e-7.
#[inline(always)]
pub(crate) fn normal<S: Simd>(x: f32) -> (f32, f32) {
    const HALF_SQRT_2: f32 = std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / mul_add::<S>(x.abs(), 0.327_591_1 * HALF_SQRT_2, 1.0);
    let gaussian = exp::<S>(-0.5 * x * x);
    let mut p = 1.061_405_4;
    for a in [-1.453_152, 1.421_413_7, -0.284_496_74, 0.254_829_6] {
        p = mul_add::<S>(p, t, a);
    }
    let tail = 0.5 * p * t * gaussian;
    let cdf = if x < 0.0 { tail } else { 1.0 - tail };
    (cdf, gaussian)
}

/// `(1 / (1 + e^-x), 1 / (1 + e^x))`: the sigmoid and what it lacks to 1, neither by cancellation.
#[inline(always)]
pub(crate) fn sigmoid<S: Simd>(x: f32) -> (f32, f32) {
    let e = exp::<S>(-x.abs());
    let larger = 1.0 / (1.0 + e);
    let smaller = e * larger;
    if x < 0.0 {
        (smaller, larger)
    } else {
        (larger, smaller)
    }
}

/// Sum of `f(a_i)`, in an order fixed by the length.
#[inline(always)]
pub(crate) fn sum(a: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    sum_pairs(a, a, |x, _| f(x))
}

/// Sum of `f(a_i, b_i)` over two slices of one length, in an order fixed by that length.
#[inline(always)]
pub(crate) fn sum_pairs(a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    let ((wide_a, a), (wide_b, b)) = (a.as_chunks::<WIDE>(), b.as_chunks::<WIDE>());
    let ((narrow_a, a), (narrow_b, b)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let wide = accumulate(wide_a, wide_b, &f);
    let narrow = accumulate(narrow_a, narrow_b, &f);
    let rest: f32 = a.iter().zip(b).map(|(a, b)| f(*a, *b)).sum();
    fold(wide, |a, b| a + b) + fold(narrow, |a, b| a + b) + rest
}

/// One sum per lane.
#[inline(always)]
fn accumulate<const L: usize>(
    a: &[[f32; L]],
    b: &[[f32; L]],
    f: impl Fn(f32, f32) -> f32,
) -> [f32; L] {
    let mut lanes = [0.0; L];
    for (a, b) in a.iter().zip(b) {
        for ((total, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *total += f(*a, *b);
        }
    }
    lanes
}

/// The largest value that is not NaN; minus infinity for none.
#[inline(always)]
pub(crate) fn max(values: &[f32]) -> f32 {
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let (blocks, rest) = values.as_chunks::<LANES>();
    let mut lanes = [f32::NEG_INFINITY; LANES];
    for block in blocks {
        for (best, value) in lanes.iter_mut().zip(block) {
            *best = larger(*best, *value);
        }
    }
    rest.iter().copied().fold(fold(lanes, larger), larger)
}

/// Combines the lanes pairwise.
#[inline(always)]
fn fold<const L: usize>(mut lanes: [f32; L], combine: impl Fn(f32, f32) -> f32) -> f32 {
    let mut width = L / 2;
    while width > 0 {
        for i in 0..width {
            lanes[i] = combine(lanes[i], lanes[i + width]);
        }
        width /= 2;
    }
    lanes[0]
}

#[cfg(test)]
mod tests {
    use super::{exp, max, normal, sum, sum_pairs};
    use pulp::Scalar;

    /// Relative error of `exp`: two units in the last place.
    const EXP: f64 = 2.4e-7;
    /// Absolute error of the normal distribution: the approximation's 1.5e-7 / 2 and rounding.
    const CDF: f64 = 2.5e-7;

    #[test]
    fn exp_is_within_two_units_in_the_last_place() {
        for i in -87_000..88_000 {
            let x = i as f32 * 1e-3 + 3.7e-5;
            let expected = f64::from(x).exp();
            let error = (f64::from(exp::<Scalar>(x)) - expected).abs() / expected;
            assert!(error <= EXP, "exp({x}): relative error {error:e}");
        }
    }

    #[test]
    fn exp_saturates_and_passes_nan() {
        assert_eq!(exp::<Scalar>(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp::<Scalar>(-1e30), 0.0);
        assert_eq!(exp::<Scalar>(1e30), f32::INFINITY);
        assert_eq!(exp::<Scalar>(0.0), 1.0);
        assert!(exp::<Scalar>(f32::NAN).is_nan());
    }

    #[test]
    fn the_normal_distribution_matches_erfc() {
        for i in -12_000..12_000 {
            let x = i as f32 * 1e-3;
            let expected = 0.5 * libm::erfc(-f64::from(x) / std::f64::consts::SQRT_2);
            let error = (f64::from(normal::<Scalar>(x).0) - expected).abs();
            assert!(error <= CDF, "Phi({x}): error {error:e}");
        }
    }

    #[test]
    fn reductions_cover_blocks_and_rests() {
        for n in [0, 1, 15, 16, 17, 64, 100, 150] {
            let values: Vec<f32> = (0..n).map(|i| i as f32).collect();
            let expected: f32 = values.iter().map(|v| v * v).sum();
            assert_eq!(sum_pairs(&values, &values, |a, b| a * b), expected);
            assert_eq!(sum(&values, |a| a * a), expected);
            assert_eq!(
                max(&values),
                values.last().copied().unwrap_or(f32::NEG_INFINITY)
            );
        }
    }
}
