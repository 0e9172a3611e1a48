//! How Q6_K finds its integers: groups of 16 values with a scale each, as ggml's reference does it.

use super::scale::{largest, nearest};

/// Values of a group.
const GROUP: usize = 16;
/// Half of the integers.
const MOST: i32 = 32;
/// Groups below this are zero.
pub(super) const NOTHING: f32 = 1e-15;

/// The scale of a group and its integers, to which 32 is added. Scales are tried at which the largest value becomes -31.1 to -32.9;
/// for the integers of each the scale of the least squares is known, weighted by the square of each value, and the best is kept.
pub(super) fn symmetric(values: &[f32; GROUP], quants: &mut [u8; GROUP]) -> f32 {
    let largest = largest(values).1;
    *quants = [0; GROUP];
    if largest.abs() < NOTHING {
        return 0.0;
    }
    let first = round(values, -(MOST as f32) / largest);
    let (sum_xl, sum_l2) = sums(values, &first);
    let mut scale = if sum_l2 == 0.0 { 0.0 } else { sum_xl / sum_l2 };
    let mut best = scale * sum_xl;
    let mut found = first;
    for step in (-9..=9_i8).filter(|step| *step != 0) {
        let tried = round(values, -(MOST as f32 + 0.1 * f32::from(step)) / largest);
        let (sum_xl, sum_l2) = sums(values, &tried);
        if sum_l2 > 0.0 && sum_xl * sum_xl > best * sum_l2 {
            scale = sum_xl / sum_l2;
            best = scale * sum_xl;
            found = tried;
        }
    }
    *quants = found.map(|quant| (quant + MOST) as u8);
    scale
}

fn round(values: &[f32; GROUP], inverse: f32) -> [i32; GROUP] {
    values.map(|value| nearest(inverse * value).clamp(-MOST, MOST - 1))
}

/// The weighted sums of `x q` and of `q q`.
fn sums(values: &[f32; GROUP], quants: &[i32; GROUP]) -> (f32, f32) {
    let pairs = values.iter().zip(quants);
    pairs.fold((0.0, 0.0), |(sum_xl, sum_l2), (value, &quant)| {
        let (weight, quant) = (value * value, quant as f32);
        (
            sum_xl + weight * value * quant,
            sum_l2 + weight * quant * quant,
        )
    })
}
