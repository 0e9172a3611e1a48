//! The learning rate of an output layer that starts afresh, and how it is set.
//!
//! Low-rank pairs start at the base and want small steps; a new output layer starts at noise, over features that hardly move, and wants steps
//! ten times as large. With one rate for both, either the layer is still noise when the run ends, or the pairs diverge.

use serde::{Deserialize, Serialize};

/// Peak rate of a new output layer of up to [`USUAL_WIDTH`] inputs beside an adapter, with AdamW, whose steps move every weight by about the
/// rate. `cargo xtask study head` compares it with others.
pub const NEW_HEAD_RATE: f64 = 2e-2;

/// Inputs of an output layer beyond which the rate falls as they grow: an output moves by the sum over all its inputs.
pub const USUAL_WIDTH: usize = 384;

/// The rate of a new output layer of so many inputs.
pub(crate) fn of_width(inputs: usize) -> f64 {
    let share = USUAL_WIDTH as f64 / inputs.max(1) as f64;
    NEW_HEAD_RATE * share.min(1.0)
}

/// Peak learning rate of an output layer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub enum HeadRate {
    /// [`NEW_HEAD_RATE`], for more than [`USUAL_WIDTH`] inputs less in proportion, or the run's rate where that is larger, for output
    /// layers that start afresh beside an adapter and are trained by AdamW; the run's rate for all others.
    #[default]
    Auto,
    /// The run's rate, as for all else that trains.
    Same,
    /// This one, for every output layer that trains, new or not.
    Rate(f64),
}

/// As it stands in run files.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Number(f64),
    Text(String),
}

impl TryFrom<Written> for HeadRate {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        match written {
            Written::Number(rate) => Ok(Self::Rate(rate)),
            Written::Text(text) if text == "auto" => Ok(Self::Auto),
            Written::Text(text) if text == "same" => Ok(Self::Same),
            Written::Text(text) => Err(format!(
                "head_lr: expected auto, same or a number; found `{text}`"
            )),
        }
    }
}

impl From<HeadRate> for Written {
    fn from(rate: HeadRate) -> Self {
        match rate {
            HeadRate::Auto => Self::Text("auto".into()),
            HeadRate::Same => Self::Text("same".into()),
            HeadRate::Rate(rate) => Self::Number(rate),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_layers_take_a_smaller_rate_and_narrow_ones_none_above_the_usual() {
        for (inputs, share) in [(16, 1.0), (384, 1.0), (768, 0.5), (3840, 0.1)] {
            assert!((of_width(inputs) - share * NEW_HEAD_RATE).abs() < 1e-12);
        }
    }

    fn read(text: &str) -> Result<HeadRate, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn words_and_numbers_are_read_and_written_as_they_were() {
        for (text, expected) in [
            ("\"auto\"", HeadRate::Auto),
            ("\"same\"", HeadRate::Same),
            ("0.05", HeadRate::Rate(0.05)),
            ("1", HeadRate::Rate(1.0)),
        ] {
            let rate = read(text).unwrap();
            assert_eq!(rate, expected);
            assert_eq!(read(&serde_json::to_string(&rate).unwrap()), Ok(rate));
        }
        let error = read("\"fast\"").unwrap_err();
        assert!(error.contains("expected auto, same or a number") && error.contains("fast"));
    }
}
