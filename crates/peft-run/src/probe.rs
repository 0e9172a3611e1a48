//! What a whole model answers to inputs that need no data: how a merged model is compared with its base and adapter.

use burn::tensor::{Device, Tensor, TensorData};
use peft_core::Pass;
use peft_models::{CausalBatch, TokenBatch};

use crate::Result;
use crate::any_model::AnyModel;

/// Rows of made-up tokens, or images.
const ROWS: usize = 3;
/// Tokens of the longest row.
const LENGTH: usize = 16;

/// Hidden states and logits of a model, as far as it has them.
#[derive(Debug, Clone)]
pub struct Answers(Vec<Vec<f32>>);

impl Answers {
    /// Asks a model without dropout. Texts are tokens from all over the vocabulary, the last ones included; images are waves.
    ///
    /// # Errors
    /// When the model takes no batch of this kind.
    pub fn of(model: &AnyModel, device: &Device) -> Result<Self> {
        let pass = &mut Pass::eval();
        let parts = match model {
            AnyModel::Classifier(model) => {
                let config = model.encoder.config();
                let rows = rows(config.vocab_size, config.max_length());
                let batch = TokenBatch::new(&rows, None, 0, device)?;
                let hidden = model.hidden(&batch, pass);
                let logits = model.head.forward(hidden.clone(), pass);
                // What stands at padding is no answer.
                let first = hidden.narrow(1, 0, batch.lengths.iter().copied().min().unwrap_or(1));
                vec![values(first), values(logits)]
            }
            AnyModel::Causal(model) => {
                let config = model.decoder.config();
                let rows = rows(config.vocab_size, config.max_positions);
                let logits = rows.iter().map(|row| {
                    let batch = CausalBatch::left_padded(std::slice::from_ref(row), device)?;
                    Ok(values(model.logits(&batch, None, pass)))
                });
                logits.collect::<Result<_>>()?
            }
            AnyModel::DecoderTexts(model) => {
                let config = model.decoder.config();
                let rows = rows(config.vocab_size, config.max_positions);
                let batch = CausalBatch::left_padded(&rows, device)?;
                vec![values(model.logits(&batch, pass))]
            }
            AnyModel::Images(model) => {
                let config = model.config();
                let shape = [ROWS, config.channels, config.image_size, config.image_size];
                let size: usize = shape.iter().product();
                let waves: Vec<f32> = (0..size).map(|at| (at as f32 * 0.0173).sin()).collect();
                let pixels = Tensor::<4>::from_data(TensorData::new(waves, shape), device);
                let hidden = model.hidden(pixels.clone(), pass);
                vec![values(hidden), values(model.logits(pixels, pass))]
            }
        };
        Ok(Self(parts))
    }

    /// Largest difference of an answer, relative to the largest answer of its part; not a number where an answer is none.
    #[must_use]
    pub fn difference(&self, other: &Self) -> f32 {
        let parts = self.0.iter().zip(&other.0);
        parts.fold(0.0, |largest, (ours, theirs)| {
            worse(largest, difference(ours, theirs))
        })
    }

    /// Whether every answer is a number.
    #[must_use]
    pub fn are_finite(&self) -> bool {
        self.0.iter().flatten().all(|value| value.is_finite())
    }
}

fn difference(ours: &[f32], theirs: &[f32]) -> f32 {
    if ours.len() != theirs.len() {
        return f32::INFINITY;
    }
    let scale = ours
        .iter()
        .fold(0.0f32, |largest, value| largest.max(value.abs()));
    let differences = ours.iter().zip(theirs).map(|(a, b)| (a - b).abs());
    differences.fold(0.0, worse) / scale.max(f32::MIN_POSITIVE)
}

/// The larger of the two; not a number where either is none.
fn worse(left: f32, right: f32) -> f32 {
    if left.is_nan() || right.is_nan() {
        f32::NAN
    } else {
        left.max(right)
    }
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    peft_core::read(tensor).iter::<f32>().collect()
}

/// Rows of different lengths over the whole vocabulary.
fn rows(vocabulary: usize, longest: usize) -> Vec<Vec<u32>> {
    let length = LENGTH.min(longest).max(1);
    let token = |row: usize, at: usize| match at {
        // New tokens stand at the end of a table.
        0 => vocabulary.saturating_sub(1 + row),
        _ => (row * 104_729 + at * 7_919) % vocabulary,
    };
    (0..ROWS)
        .map(|row| {
            let length = length.saturating_sub(row).max(1);
            (0..length)
                .map(|at| u32::try_from(token(row, at)).unwrap_or(0))
                .collect()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_reach_the_last_tokens_and_fit_any_model() {
        let all = rows(322, 2048);
        assert_eq!(all.iter().map(Vec::len).collect::<Vec<_>>(), [16, 15, 14]);
        assert_eq!([all[0][0], all[1][0], all[2][0]], [321, 320, 319]);
        assert!(all.iter().flatten().all(|id| *id < 322));
        assert_eq!(rows(1, 1), [[0], [0], [0]]);
    }

    #[test]
    fn a_difference_is_relative_and_never_hides_what_is_no_number() {
        let answers = |values: &[f32]| Answers(vec![vec![0.0, 1.0], values.to_vec()]);
        assert_eq!(answers(&[2.0, 4.0]).difference(&answers(&[2.0, 3.0])), 0.25);
        for odd in [&[2.0, f32::NAN][..], &[f32::INFINITY, 4.0]] {
            let difference = answers(&[2.0, 4.0]).difference(&answers(odd));
            assert!(!difference.is_finite(), "{difference}");
            assert!(!answers(odd).are_finite());
        }
        assert!(
            answers(&[1.0])
                .difference(&answers(&[1.0, 2.0]))
                .is_infinite()
        );
    }
}
