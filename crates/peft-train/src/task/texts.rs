//! One text or a pair to classes or to a value.

use burn::tensor::{Device, Tensor};
use peft_core::Pass;
use peft_models::{DecoderClassifier, SequenceClassifier, Text, TokenBatch};

use super::classifier::{Classifier, ExampleSet};
use crate::TrainError;
use crate::data::{Encoded, Example, Target};

/// Tokenised examples with their targets.
#[derive(Debug, Clone, Default)]
pub struct TextSet {
    /// Token ids of each example.
    pub encoded: Vec<Encoded>,
    /// What the model should say about each.
    pub targets: Vec<Target>,
    /// Id that fills up a batch.
    pub pad_id: u32,
}

impl TextSet {
    /// Puts tokens and targets together.
    ///
    /// # Panics
    /// When there are not as many of one as of the other.
    #[must_use]
    pub fn new(encoded: Vec<Encoded>, examples: &[Example], pad_id: u32) -> Self {
        assert_eq!(encoded.len(), examples.len(), "one target per example");
        Self {
            encoded,
            targets: examples.iter().map(|example| example.target).collect(),
            pad_id,
        }
    }

    /// Some of the examples, in this order.
    #[must_use]
    pub fn subset(&self, examples: &[usize]) -> Self {
        Self {
            encoded: examples.iter().map(|i| self.encoded[*i].clone()).collect(),
            targets: examples.iter().map(|i| self.targets[*i]).collect(),
            pad_id: self.pad_id,
        }
    }

    /// The given examples, padded to the longest.
    ///
    /// # Errors
    /// When an example has no tokens.
    pub fn batch(&self, examples: &[usize], device: &Device) -> Result<TokenBatch, TrainError> {
        let rows = examples.iter().map(|i| &self.encoded[*i]);
        let ids: Vec<Vec<u32>> = rows.clone().map(|row| row.ids.clone()).collect();
        let types: Vec<Vec<u32>> = rows.map(|row| row.type_ids.clone()).collect();
        Ok(TokenBatch::new(&ids, Some(&types), self.pad_id, device)?)
    }
}

impl ExampleSet for TextSet {
    fn lengths(&self) -> Vec<usize> {
        self.encoded.iter().map(|row| row.ids.len()).collect()
    }

    fn targets(&self) -> &[Target] {
        &self.targets
    }
}

impl Classifier for SequenceClassifier {
    type Set = TextSet;

    fn answer(
        &self,
        set: &TextSet,
        examples: &[usize],
        device: &Device,
        pass: &mut Pass<'_>,
    ) -> Result<Tensor<2>, TrainError> {
        let batch = set.batch(examples, device)?;
        self.encoder.check(&batch)?;
        Ok(self.logits(&batch, pass))
    }

    fn outputs(&self) -> usize {
        self.num_labels()
    }
}

impl Classifier for DecoderClassifier {
    type Set = TextSet;

    fn answer(
        &self,
        set: &TextSet,
        examples: &[usize],
        device: &Device,
        pass: &mut Pass<'_>,
    ) -> Result<Tensor<2>, TrainError> {
        let rows = examples.iter().map(|i| set.encoded[*i].ids.as_slice());
        let longest = rows.clone().map(<[u32]>::len).max().unwrap_or(0);
        let segments = vec![1; longest];
        let texts = rows.map(|ids| Text {
            ids,
            segments: &segments[..ids.len()],
        });
        let batch = self.decoder.batch(&texts.collect::<Vec<_>>(), device)?;
        self.decoder.check(&batch)?;
        Ok(self.logits(&batch, pass))
    }

    fn outputs(&self) -> usize {
        self.head.site().d_out
    }
}
