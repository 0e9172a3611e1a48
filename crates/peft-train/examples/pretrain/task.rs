//! The two objectives of pretraining as a task of the training loop: hidden words, and the words of a whole sentence.

use burn::nn::loss::CrossEntropyLossConfig;
use burn::tensor::{Device, Int, Tensor, TensorData};
use indexmap::IndexMap;
use peft_core::Pass;
use peft_models::{SequenceClassifier, TokenBatch};
use peft_train::data::BatchPlan;
use peft_train::metric::{Measure, Metric};
use peft_train::task::{Scores, Task};
use peft_train::{Spread, Stop, TrainError};

use crate::masking::Masked;

/// Sentences with hidden words. The word table is the output layer of both objectives:
///
/// - at a hidden word, `logits = hidden * words^T` is to name it;
/// - at the first token, `logits = tanh(pooler(hidden)) * words^T` is to name every word of the sentence, so that this
///   token, which has no word of its own, learns to gather.
#[derive(Debug)]
pub(crate) struct MaskedWords {
    /// To learn from.
    pub(crate) train: Vec<Masked>,
    /// Never seen in training.
    pub(crate) held_out: Vec<Masked>,
    /// Fills up a batch.
    pub(crate) pad_id: u32,
}

/// Logits `[words, vocabulary]` and the words that they should name.
struct Guesses {
    logits: Tensor<2>,
    words: Tensor<1, Int>,
}

impl Guesses {
    /// Vectors `states [n, d]` looked up at `words`, pairs of row and word, and compared with every row of the table.
    fn new(states: Tensor<2>, words: impl Iterator<Item = (usize, u32)>, table: Tensor<2>) -> Self {
        let device = states.device();
        let (rows, words): (Vec<i32>, Vec<i32>) =
            words.map(|(row, word)| (row as i32, word as i32)).unzip();
        let integers = |values: Vec<i32>| {
            let count = values.len();
            Tensor::<1, Int>::from_data(TensorData::new(values, [count]), &device)
        };
        Self {
            logits: states.matmul(table.transpose()).select(0, integers(rows)),
            words: integers(words),
        }
    }

    /// Mean cross entropy.
    fn loss(self) -> Tensor<1> {
        let device = self.logits.device();
        CrossEntropyLossConfig::new()
            .init(&device)
            .forward(self.logits, self.words)
    }

    fn right(&self) -> usize {
        let named = self.logits.clone().argmax(1).squeeze_dim::<1>(1);
        named
            .equal(self.words.clone())
            .int()
            .sum()
            .into_scalar::<i32>() as usize
    }
}

impl MaskedWords {
    /// Guesses of the hidden words and of the words of each sentence.
    fn guesses(
        &self,
        model: &SequenceClassifier,
        sentences: &[&Masked],
        device: &Device,
        pass: &mut Pass<'_>,
    ) -> Result<[Guesses; 2], TrainError> {
        let ids: Vec<Vec<u32>> = sentences
            .iter()
            .map(|sentence| sentence.seen.ids.clone())
            .collect();
        let types: Vec<Vec<u32>> = sentences
            .iter()
            .map(|sentence| sentence.seen.type_ids.clone())
            .collect();
        let batch = TokenBatch::new(&ids, Some(&types), self.pad_id, device)?;
        let table = model.encoder.embeddings.words.table.weight.val();
        let states = model.hidden(&batch, pass);
        let first = states.clone().narrow(1, 0, 1).squeeze_dim::<2>(1);
        let pooled = model.head.dense.forward(first, pass).tanh();
        let [rows, seq, d] = states.dims();
        let hidden = (0..).zip(sentences).flat_map(|(row, sentence)| {
            sentence
                .hidden
                .iter()
                .map(move |(place, word)| (row * seq + place, *word))
        });
        let all = (0..)
            .zip(sentences)
            .flat_map(|(row, sentence)| sentence.words().map(move |word| (row, word)));
        Ok([
            Guesses::new(states.reshape([rows * seq, d]), hidden, table.clone()),
            Guesses::new(pooled, all, table),
        ])
    }
}

impl Task for MaskedWords {
    type Model = SequenceClassifier;

    fn lengths(&self) -> Vec<usize> {
        self.train
            .iter()
            .map(|sentence| sentence.seen.ids.len())
            .collect()
    }

    fn loss(
        &self,
        model: &SequenceClassifier,
        examples: &[usize],
        device: &Device,
        pass: &mut Pass<'_>,
    ) -> Result<Tensor<1>, TrainError> {
        let sentences: Vec<&Masked> = examples.iter().map(|index| &self.train[*index]).collect();
        let [hidden, whole] = self.guesses(model, &sentences, device, pass)?;
        Ok(hidden.loss() + whole.loss())
    }

    fn evaluate(
        &self,
        spread: &Spread<SequenceClassifier>,
        stop: &Stop,
    ) -> Result<Option<Scores>, TrainError> {
        let lengths: Vec<usize> = self
            .held_out
            .iter()
            .map(|sentence| sentence.seen.ids.len())
            .collect();
        let plan = BatchPlan::evaluation(&lengths, 128, None)?;
        let batches = spread.map(plan.batches(), |model, device, examples| {
            stop.check()?;
            let sentences: Vec<&Masked> = examples
                .iter()
                .map(|index| &self.held_out[*index])
                .collect();
            let [hidden, _] = self.guesses(model, &sentences, device, &mut Pass::eval())?;
            let here = hidden.words.dims()[0];
            let right = hidden.right();
            let loss = f64::from(hidden.loss().into_scalar::<f32>()) * here as f64;
            Ok((loss, right, here))
        })?;
        let (mut loss, mut right, mut count) = (0.0, 0, 0);
        for (part, correct, here) in batches {
            loss += part;
            right += correct;
            count += here;
        }
        let accuracy = right as f64 / count as f64;
        Ok(Some(Scores {
            loss: loss / count as f64,
            metrics: IndexMap::from([(Metric::Accuracy.name().to_owned(), accuracy)]),
            ..Scores::default()
        }))
    }

    fn headline(&self) -> Measure {
        Metric::Accuracy.into()
    }
}
