//! How Q4_K and Q5_K find their integers: groups of 32 values with a scale and a minimum each, as ggml's reference does it.

use super::scale::{half_bytes, largest, nearest};
use super::six_bits;

/// Values of a group.
const GROUP: usize = 32;
/// Larger values than any block can hold, whose squares are far from the end of single precision.
pub(super) const HOPELESS: f32 = 1e9;

/// What a format asks of the search.
pub(super) struct Search {
    /// The largest integer.
    pub(super) most: u8,
    /// The scales that are tried are those of `most + first + 0.1 * step` integers over the range.
    pub(super) first: f32,
    /// The last step.
    pub(super) steps: u8,
}

/// The parts of a block.
pub(super) struct Parts {
    /// The scale of the scales and that of the minima, half precision, and both packed.
    pub(super) head: [u8; 16],
    /// The integer of each value.
    pub(super) quants: [u8; 256],
}

/// A scale and a minimum (its negative) for 32 values.
struct Line {
    scale: f32,
    depth: f32,
}

impl Search {
    /// The parts of a block of 256 values; `None` where half precision has no such scales.
    pub(super) fn parts(&self, values: &[f32; 256]) -> Option<Parts> {
        if largest(values).1.abs() > HOPELESS {
            return None;
        }
        let mut quants = [0; 256];
        let (groups, _) = values.as_chunks::<GROUP>();
        let (places, _) = quants.as_chunks_mut::<GROUP>();
        let mut lines = [const {
            Line {
                scale: 0.0,
                depth: 0.0,
            }
        }; 8];
        for ((group, quants), line) in groups.iter().zip(&mut *places).zip(&mut lines) {
            *line = self.line(group, quants);
        }
        let steepest = lines.iter().fold(
            0.0,
            |most, line| if line.scale > most { line.scale } else { most },
        );
        let deepest = lines.iter().fold(
            0.0,
            |most, line| if line.depth > most { line.depth } else { most },
        );
        let scales = lines
            .each_ref()
            .map(|line| sixty_thirds(line.scale, steepest));
        let depths = lines
            .each_ref()
            .map(|line| sixty_thirds(line.depth, deepest));
        let (scale, depth) = (half_bytes(steepest / 63.0)?, half_bytes(deepest / 63.0)?);
        let mut head = [0; 16];
        head[..2].copy_from_slice(&scale);
        head[2..4].copy_from_slice(&depth);
        head[4..].copy_from_slice(&six_bits::pack(&scales, &depths));
        let stored = |bytes| half::f16::from_le_bytes(bytes).to_f32();
        for (at, (group, quants)) in groups.iter().zip(places).enumerate() {
            let step = stored(scale) * f32::from(scales[at]);
            let depth = stored(depth) * f32::from(depths[at]);
            // Without a step every integer means the same, and the search's stay.
            if step != 0.0 {
                for (quant, value) in quants.iter_mut().zip(group) {
                    *quant = self.bounded(nearest((value + depth) / step));
                }
            }
        }
        Some(Parts { head, quants })
    }

    fn bounded(&self, quant: i32) -> u8 {
        quant.clamp(0, i32::from(self.most)) as u8
    }

    /// Tries several scales, finds for the integers of each the line `scale * q - depth` of the least weighted squares, and keeps
    /// the best. Values weigh by their magnitude.
    fn line(&self, values: &[f32; GROUP], quants: &mut [u8; GROUP]) -> Line {
        let weights = weights(values);
        let (sum_w, sum_x) = weighted_sums(values, &weights);
        let (mut least, most) = super::scale::range(values);
        least = if least > 0.0 { 0.0 } else { least };
        *quants = [0; GROUP];
        if most == least {
            return Line {
                scale: 0.0,
                depth: -least,
            };
        }
        let inverse = f32::from(self.most) / (most - least);
        let mut scale = 1.0 / inverse;
        *quants = values.map(|value| self.bounded(nearest(inverse * (value - least))));
        let mut best = error(values, &weights, quants, scale, least);
        for step in 0..=self.steps {
            let range = self.first + 0.1 * f32::from(step) + f32::from(self.most);
            let inverse = range / (most - least);
            let tried = values.map(|value| self.bounded(nearest(inverse * (value - least))));
            let Some((tried_scale, tried_least)) = fit(values, &weights, &tried, sum_w, sum_x)
            else {
                continue;
            };
            let found = error(values, &weights, &tried, tried_scale, tried_least);
            if found < best {
                (*quants, best, scale, least) = (tried, found, tried_scale, tried_least);
            }
        }
        Line {
            scale,
            depth: -least,
        }
    }
}

/// `63 part / whole`, rounded.
fn sixty_thirds(part: f32, whole: f32) -> u8 {
    let inverse = if whole > 0.0 { 63.0 / whole } else { 0.0 };
    (nearest(inverse * part) as u8).min(63)
}

/// The root of the mean square and the magnitude of each value.
fn weights(values: &[f32; GROUP]) -> [f32; GROUP] {
    let squares = values.iter().fold(0.0, |sum, value| sum + value * value);
    let mean = (squares / GROUP as f32).sqrt();
    values.map(|value| mean + value.abs())
}

/// The sums of the weights and of the weighted values.
fn weighted_sums(values: &[f32; GROUP], weights: &[f32; GROUP]) -> (f32, f32) {
    let pairs = values.iter().zip(weights);
    pairs.fold((0.0, 0.0), |(sum_w, sum_x), (value, weight)| {
        (sum_w + weight, sum_x + weight * value)
    })
}

/// The line of the least weighted squares through these integers, its minimum at most zero; `None` where all integers are one.
fn fit(
    values: &[f32; GROUP],
    weights: &[f32; GROUP],
    quants: &[u8; GROUP],
    sum_w: f32,
    sum_x: f32,
) -> Option<(f32, f32)> {
    let (mut sum_l, mut sum_l2, mut sum_xl) = (0.0, 0.0, 0.0);
    for ((value, weight), &quant) in values.iter().zip(weights).zip(quants) {
        let quant = f32::from(quant);
        sum_l += weight * quant;
        sum_l2 += weight * quant * quant;
        sum_xl += weight * quant * value;
    }
    let determinant = sum_w * sum_l2 - sum_l * sum_l;
    if determinant > 0.0 {
        let scale = (sum_w * sum_xl - sum_x * sum_l) / determinant;
        let least = (sum_l2 * sum_x - sum_l * sum_xl) / determinant;
        return Some(if least > 0.0 {
            (sum_xl / sum_l2, 0.0)
        } else {
            (scale, least)
        });
    }
    None
}

/// The weighted sum of squared errors.
fn error(
    values: &[f32; GROUP],
    weights: &[f32; GROUP],
    quants: &[u8; GROUP],
    scale: f32,
    least: f32,
) -> f32 {
    let all = values.iter().zip(weights).zip(quants);
    all.fold(0.0, |sum, ((value, weight), &quant)| {
        let difference = scale * f32::from(quant) + least - value;
        sum + weight * (difference * difference)
    })
}
