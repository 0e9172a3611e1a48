//! Masked language modelling as a task of the training loop.

use burn::nn::loss::CrossEntropyLossConfig;
use burn::tensor::{Device, Int, Tensor, TensorData};
use indexmap::IndexMap;
use peft_core::Pass;
use peft_models::{Encoder, TokenBatch};
use peft_train::TrainError;
use peft_train::data::BatchPlan;
use peft_train::metric::Metric;
use peft_train::task::{Scores, Task};

use crate::masking::Masked;

/// Sentences with hidden words; the word table is the output layer too: `logits = hidden * words^T`.
#[derive(Debug)]
pub(crate) struct MaskedWords {
    /// To learn from.
    pub(crate) train: Vec<Masked>,
    /// Never seen in training.
    pub(crate) held_out: Vec<Masked>,
    /// Fills up a batch.
    pub(crate) pad_id: u32,
}

impl MaskedWords {
    /// Logits of the hidden words `[words, vocabulary]`, and which words they are.
    fn logits(
        &self,
        model: &Encoder,
        sentences: &[&Masked],
        device: &Device,
        pass: &mut Pass<'_>,
    ) -> Result<(Tensor<2>, Tensor<1, Int>), TrainError> {
        let ids: Vec<Vec<u32>> = sentences.iter().map(|sentence| sentence.seen.ids.clone()).collect();
        let types: Vec<Vec<u32>> = sentences.iter().map(|sentence| sentence.seen.type_ids.clone()).collect();
        let batch = TokenBatch::new(&ids, Some(&types), self.pad_id, device)?;
        let seq = batch.seq();
        let hidden = sentences.iter().enumerate();
        let hidden = hidden.flat_map(|(row, sentence)| {
            sentence.hidden.iter().map(move |(place, word)| ((row * seq + place) as i32, *word as i32))
        });
        let (places, words): (Vec<i32>, Vec<i32>) = hidden.unzip();
        let integers = |values: Vec<i32>| {
            let count = values.len();
            Tensor::<1, Int>::from_data(TensorData::new(values, [count]), device)
        };
        let states = model.hidden(&batch, pass);
        let [rows, seq, d] = states.dims();
        let states = states.reshape([rows * seq, d]).select(0, integers(places));
        Ok((states.matmul(model.embeddings.words.val().transpose()), integers(words)))
    }
}

impl Task for MaskedWords {
    type Model = Encoder;

    fn lengths(&self) -> Vec<usize> {
        self.train.iter().map(|sentence| sentence.seen.ids.len()).collect()
    }

    fn loss(
        &self,
        model: &Encoder,
        examples: &[usize],
        device: &Device,
        pass: &mut Pass<'_>,
    ) -> Result<Tensor<1>, TrainError> {
        let sentences: Vec<&Masked> = examples.iter().map(|index| &self.train[*index]).collect();
        let (logits, words) = self.logits(model, &sentences, device, pass)?;
        Ok(CrossEntropyLossConfig::new().init(device).forward(logits, words))
    }

    fn evaluate(&self, model: &Encoder, device: &Device) -> Result<Option<Scores>, TrainError> {
        let lengths: Vec<usize> = self.held_out.iter().map(|sentence| sentence.seen.ids.len()).collect();
        let (mut loss, mut right, mut count) = (0.0, 0_i64, 0);
        for examples in BatchPlan::evaluation(&lengths, 128, None)?.batches() {
            let sentences: Vec<&Masked> = examples.iter().map(|index| &self.held_out[*index]).collect();
            let (logits, words) = self.logits(model, &sentences, device, &mut Pass::eval())?;
            let guesses = logits.clone().argmax(1).squeeze_dim::<1>(1);
            right += i64::from(guesses.equal(words.clone()).int().sum().into_scalar::<i32>());
            let here = words.dims()[0];
            let mean = CrossEntropyLossConfig::new().init(device).forward(logits, words);
            loss += f64::from(mean.into_scalar::<f32>()) * here as f64;
            count += here;
        }
        let accuracy = right as f64 / count as f64;
        Ok(Some(Scores {
            loss: loss / count as f64,
            metrics: IndexMap::from([(Metric::Accuracy.name().to_owned(), accuracy)]),
        }))
    }

    fn headline(&self) -> Metric {
        Metric::Accuracy
    }
}
