//! The scalings of frequencies by which models read texts longer than those of their training. Formulas are those of transformers.

use std::f64::consts::TAU;

use super::{Frequencies, Rope, RopeFields, plain, rounded};
use crate::error::ModelError;

/// Turns of the fastest frequencies that YaRN keeps, and of the slowest that it stretches, over the original length.
const YARN_TURNS: [f64; 2] = [32.0, 1.0];

impl RopeFields<'_> {
    /// The frequencies of this base over `width` values of a head, scaled as the file asks for.
    pub(super) fn scaled(&self, base: f64, width: usize) -> Result<Rope, ModelError> {
        let frequencies = plain(base, width);
        let fixed = |frequencies| Frequencies::Fixed(rounded(frequencies)).into();
        match self.kind() {
            "default" => Ok(fixed(frequencies)),
            "linear" => {
                let factor = self.number("factor")?;
                Ok(fixed(frequencies.into_iter().map(|f| f / factor).collect()))
            }
            "llama3" => Ok(fixed(self.llama3(frequencies)?)),
            "dynamic" => self.dynamic(base, width),
            // "su" is what LongRoPE was called first.
            "longrope" | "su" => self.longrope(frequencies),
            "yarn" => self.yarn(base, width),
            _ => Err(self.unsupported("default, linear, dynamic, yarn, longrope, llama3")),
        }
    }

    /// Llama 3's: wavelengths above `original / low_freq_factor` are stretched by `factor`, those below `original /
    /// high_freq_factor` stay, and those between are interpolated.
    fn llama3(&self, frequencies: Vec<f64>) -> Result<Vec<f64>, ModelError> {
        let factor = self.number("factor")?;
        let (low, high) = (
            self.number("low_freq_factor")?,
            self.number("high_freq_factor")?,
        );
        let original = self.original_length()?;
        if low >= high {
            return Err(self.malformed("low_freq_factor", "a number below high_freq_factor"));
        }
        let stretched = |f: f64| {
            let turns = original * f / TAU;
            let kept = ((turns - low) / (high - low)).clamp(0.0, 1.0);
            (1.0 - kept) * f / factor + kept * f
        };
        Ok(frequencies.into_iter().map(stretched).collect())
    }

    fn dynamic(&self, base: f64, width: usize) -> Result<Rope, ModelError> {
        if width <= 2 {
            return Err(self.malformed("rope_type", "heads of more than one frequency"));
        }
        Ok(Frequencies::Dynamic {
            base,
            factor: self.number("factor")?,
            trained: self.config.positive("max_position_embeddings")?,
            width,
        }
        .into())
    }

    /// A divisor for each frequency, one list for short texts and one for long ones.
    fn longrope(&self, frequencies: Vec<f64>) -> Result<Rope, ModelError> {
        let original = self.original_length()?;
        let divided = |field| {
            let factors = self.factors(field, frequencies.len())?;
            let divided = frequencies.iter().zip(factors).map(|(f, by)| f / by);
            Ok::<_, ModelError>(rounded(divided.collect()))
        };
        let factor = self.stretch(original)?;
        let magnitude = match self.number_if_any("attention_factor")? {
            Some(magnitude) => magnitude,
            None if factor <= 1.0 => 1.0,
            None => (1.0 + factor.ln() / original.ln()).sqrt(),
        };
        Ok(Rope {
            frequencies: Frequencies::ByLength {
                short: divided("short_factor")?,
                long: divided("long_factor")?,
                trained: original as usize,
            },
            magnitude: magnitude as f32,
        })
    }

    /// YaRN (Peng et al., arXiv 2309.00071): frequencies that turn more than `beta_fast` times in the original length stay, those that turn
    /// less than `beta_slow` times are stretched by `factor`, with a ramp over the pairs between, and scores grow with the logarithm of the
    /// factor.
    fn yarn(&self, base: f64, width: usize) -> Result<Rope, ModelError> {
        let original = self.original_length()?;
        let factor = self.stretch(original)?;
        let turns = [
            self.number_if_any("beta_fast")?.unwrap_or(YARN_TURNS[0]),
            self.number_if_any("beta_slow")?.unwrap_or(YARN_TURNS[1]),
        ];
        // The pair that turns so often in the original length, as a real number.
        let pair = |turns: f64| width as f64 * (original / (turns * TAU)).ln() / (2.0 * base.ln());
        let [first, last] = turns.map(pair);
        let (first, last) = match self.flag_or("truncate", true)? {
            true => (first.floor(), last.ceil()),
            false => (first, last),
        };
        let first = first.max(0.0);
        let last = match last.min(width as f64 - 1.0) {
            last if last == first => last + 0.001,
            last => last,
        };
        let scaled = plain(base, width).into_iter().enumerate().map(|(j, f)| {
            let stretched = ((j as f64 - first) / (last - first)).clamp(0.0, 1.0);
            f / factor * stretched + f * (1.0 - stretched)
        });
        Ok(Rope {
            frequencies: Frequencies::Fixed(rounded(scaled.collect())),
            magnitude: self.yarn_magnitude(factor)? as f32,
        })
    }

    /// `0.1 m ln(factor) + 1`, or the quotient of two such where the file has `mscale` and `mscale_all_dim` for `m`.
    fn yarn_magnitude(&self, factor: f64) -> Result<f64, ModelError> {
        if let Some(magnitude) = self.number_if_any("attention_factor")? {
            return Ok(magnitude);
        }
        let magnitude = |m: f64| 1.0 + 0.1 * m * factor.max(1.0).ln();
        let above = self.number_if_any("mscale")?;
        let below = self.number_if_any("mscale_all_dim")?;
        Ok(match (above, below) {
            (Some(above), Some(below)) => magnitude(above) / magnitude(below),
            _ => magnitude(1.0),
        })
    }

    /// By how much the context is longer than that of the training.
    fn stretch(&self, original: f64) -> Result<f64, ModelError> {
        match self.number_if_any("factor")? {
            Some(factor) => Ok(factor),
            None => Ok(self.config.positive("max_position_embeddings")? as f64 / original),
        }
    }
}
