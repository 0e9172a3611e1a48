//! Inverted dropout: `y = x m / (1 - p)`, each `m` 0 with probability `p` and 1 otherwise.
//!
//! On the fused path the mask is a pure function of a seed and the row-major index of an element, so nothing is
//! saved for the backward, which computes it again, and neither threads nor memory layout change it.

use burn::tensor::{Distribution, Tensor};

#[cfg(feature = "flex")]
pub(crate) mod flex;
#[cfg(test)]
mod tests;

/// Inverted dropout: zeroes each element with `probability` and divides the others by `1 - probability`.
///
/// - Fused (f32 on flex): the mask follows from `seed` alone, which must therefore differ between calls (see
///   [`derive_seed`]). 16 random bits decide an element: `probability` is rounded to a multiple of 1/65536, and the
///   division uses the rounded one, so the expectation stays `x`.
/// - Elsewhere: the mask comes from the device's random stream, which the caller seeds; `seed` is not used.
///
/// A probability of 0 or less returns `x`; 1 or more gives zeros. NaN stays NaN, dropped or not.
#[must_use]
pub fn dropout<const D: usize>(x: Tensor<D>, probability: f64, seed: u64) -> Tensor<D> {
    if probability <= 0.0 {
        return x;
    }
    if probability >= 1.0 {
        return x.mul_scalar(0.0);
    }
    #[cfg(feature = "flex")]
    let x = match flex::dropout(x, probability, seed) {
        Ok(y) => return y,
        Err(x) => x,
    };
    #[cfg(not(feature = "flex"))]
    let _ = seed;
    let keep = 1.0 - probability;
    let mask = x.random_like(Distribution::Bernoulli(keep)).detach();
    x * mask.div_scalar(keep)
}

/// A seed for the `index`-th of several independent uses of `seed`: the steps of a run, the calls of a step.
///
/// One output of SplitMix64 (G. Steele, D. Lea, C. Flood, "Fast splittable pseudorandom number generators", 2014)
/// started at `seed`; different indices of one seed never give the same value.
#[must_use]
pub const fn derive_seed(seed: u64, index: u64) -> u64 {
    let mut z = seed.wrapping_add(index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
