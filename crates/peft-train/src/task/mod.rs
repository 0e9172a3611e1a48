//! Tasks: what a batch is, what its loss is, and how a model is judged.

mod causal_lm;
mod classifier;
mod images;
mod observe;
mod samples;
mod score;
mod texts;

use burn::tensor::{Device, Tensor};
use indexmap::IndexMap;
use peft_core::{Adaptable, Pass};
use serde::{Deserialize, Serialize};

use crate::TrainError;
use crate::metric::Measure;
use crate::spread::Spread;
use crate::stop::Stop;

pub use causal_lm::{CausalTask, perplexity};
pub use classifier::{Classifier, ClassifierTask, ExampleSet, Inference, classify};
pub use images::ImageSet;
pub use observe::{observe, survey};
pub use samples::Prompts;
pub use score::{Objective, argmax, score_logits};
pub use texts::TextSet;

/// How a model did on a validation set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Mean loss over the examples.
    pub loss: f64,
    /// Metric name to value; absent where a metric is not defined.
    pub metrics: IndexMap<String, f64>,
    /// What the model says to given prompts, where that was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub samples: Vec<Sample>,
}

/// A prompt and what a language model makes of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// What was given.
    pub prompt: String,
    /// What the model wrote after it.
    pub answer: String,
}

impl Scores {
    /// The value by which models are compared, greater is better: the headline metric, or minus the loss.
    #[must_use]
    pub fn rank(&self, headline: &Measure) -> f64 {
        match self.metrics.get(&headline.key()) {
            Some(value) if headline.metric().higher_is_better() => *value,
            Some(value) => -value,
            None => -self.loss,
        }
    }
}

/// What the training loop needs to know of a task.
pub trait Task: Sync {
    /// The model it trains.
    type Model: Adaptable;

    /// Lengths in tokens of the training examples, for batching.
    fn lengths(&self) -> Vec<usize>;

    /// How much a batch counts in the mean loss of a step that has several: its number of examples, or of what is averaged.
    fn weight(&self, examples: &[usize]) -> f64 {
        examples.len() as f64
    }

    /// Mean loss over the given training examples, shape `[1]`.
    ///
    /// # Errors
    /// When the batch does not fit the model.
    fn loss(
        &self,
        model: &Self::Model,
        examples: &[usize],
        device: &Device,
        pass: &mut Pass<'_>,
    ) -> Result<Tensor<1>, TrainError>;

    /// Scores of a model without autodiff on the validation set, whose batches are dealt out where it is on several devices; `None` when
    /// there is none.
    ///
    /// # Errors
    /// When a batch does not fit the model; [`crate::RunError::Stopped`] once `stop` is asked for.
    fn evaluate(
        &self,
        spread: &Spread<Self::Model>,
        stop: &Stop,
    ) -> Result<Option<Scores>, TrainError>;

    /// The metric by which models are compared.
    fn headline(&self) -> Measure;
}
