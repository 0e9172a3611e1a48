//! Sequence classification and regression: one text or a pair to classes or to a value.

use burn::nn::loss::{CrossEntropyLossConfig, MseLoss, Reduction};
use burn::tensor::{Device, Int, Tensor, TensorData};
use indexmap::IndexMap;
use peft_core::{Pass, RowAdapters};
use peft_models::{SequenceClassifier, TokenBatch};

use super::{Scores, Task};
use crate::TrainError;
use crate::data::{BatchPlan, Encoded, Example, Target};
use crate::metric::Metric;

/// What the logits mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Objective {
    /// So many classes: cross entropy.
    Classes(usize),
    /// One value: mean squared error.
    Value,
}

/// Tokenised examples with their targets.
#[derive(Debug, Clone, Default)]
pub struct TextSet {
    /// Token ids of each example.
    pub encoded: Vec<Encoded>,
    /// What the model should say about each.
    pub targets: Vec<Target>,
}

impl TextSet {
    /// Puts tokens and targets together.
    ///
    /// # Panics
    /// When there are not as many of one as of the other.
    #[must_use]
    pub fn new(encoded: Vec<Encoded>, examples: &[Example]) -> Self {
        assert_eq!(encoded.len(), examples.len(), "one target per example");
        Self {
            encoded,
            targets: examples.iter().map(|example| example.target).collect(),
        }
    }

    /// Lengths in tokens.
    #[must_use]
    pub fn lengths(&self) -> Vec<usize> {
        self.encoded.iter().map(|row| row.ids.len()).collect()
    }

    fn batch(
        &self,
        examples: &[usize],
        pad_id: u32,
        device: &Device,
    ) -> Result<TokenBatch, TrainError> {
        let rows: Vec<Vec<u32>> = examples
            .iter()
            .map(|i| self.encoded[*i].ids.clone())
            .collect();
        let types: Vec<Vec<u32>> = examples
            .iter()
            .map(|i| self.encoded[*i].type_ids.clone())
            .collect();
        Ok(TokenBatch::new(&rows, Some(&types), pad_id, device)?)
    }
}

/// Training and validation data of a sequence task.
#[derive(Debug, Clone)]
pub struct SequenceTask {
    /// What is learnt from.
    pub train: TextSet,
    /// What models are judged on.
    pub valid: Option<TextSet>,
    /// Id that fills up a batch.
    pub pad_id: u32,
    /// What the logits mean.
    pub objective: Objective,
    /// What is reported; the first one compares models.
    pub metrics: Vec<Metric>,
    /// Examples of an evaluation batch.
    pub eval_batch_size: usize,
}

impl Task for SequenceTask {
    type Model = SequenceClassifier;

    fn lengths(&self) -> Vec<usize> {
        self.train.lengths()
    }

    fn loss(
        &self,
        model: &SequenceClassifier,
        examples: &[usize],
        device: &Device,
        pass: &mut Pass<'_>,
    ) -> Result<Tensor<1>, TrainError> {
        let batch = self.train.batch(examples, self.pad_id, device)?;
        let targets: Vec<Target> = examples.iter().map(|i| self.train.targets[*i]).collect();
        Ok(loss(model.logits(&batch, pass), &targets, self.objective))
    }

    fn evaluate(
        &self,
        model: &SequenceClassifier,
        device: &Device,
    ) -> Result<Option<Scores>, TrainError> {
        let Some(valid) = &self.valid else {
            return Ok(None);
        };
        let how = Inference {
            pad_id: self.pad_id,
            batch_size: self.eval_batch_size,
            device,
            adapters: None,
        };
        let logits = classify(model, valid, how)?;
        Ok(Some(score_logits(
            &logits,
            &valid.targets,
            self.objective,
            &self.metrics,
        )))
    }

    fn headline(&self) -> Metric {
        self.metrics
            .first()
            .copied()
            .unwrap_or(match self.objective {
                Objective::Classes(_) => Metric::Accuracy,
                Objective::Value => Metric::Pearson,
            })
    }
}

fn loss(logits: Tensor<2>, targets: &[Target], objective: Objective) -> Tensor<1> {
    let device = logits.device();
    let rows = targets.len();
    match objective {
        Objective::Classes(_) => {
            let classes: Vec<i32> = targets
                .iter()
                .map(|target| match target {
                    Target::Class(class) => *class as i32,
                    _ => 0,
                })
                .collect();
            let classes = Tensor::<1, Int>::from_data(TensorData::new(classes, [rows]), &device);
            CrossEntropyLossConfig::new()
                .init(&device)
                .forward(logits, classes)
        }
        Objective::Value => {
            let values: Vec<f32> = targets
                .iter()
                .map(|target| value_of(target) as f32)
                .collect();
            let values = Tensor::<2>::from_data(TensorData::new(values, [rows, 1]), &device);
            MseLoss::new().forward(logits, values, Reduction::Mean)
        }
    }
}

fn value_of(target: &Target) -> f64 {
    match target {
        Target::Value(value) => *value,
        _ => 0.0,
    }
}

/// How a model is run over examples.
#[derive(Debug, Clone, Copy)]
pub struct Inference<'a> {
    /// Id that fills up a batch.
    pub pad_id: u32,
    /// Examples of a batch.
    pub batch_size: usize,
    /// Where the model is.
    pub device: &'a Device,
    /// The adapter of each example, `None` for the base; without this the active adapters serve all.
    pub adapters: Option<&'a [Option<&'a str>]>,
}

/// Logits of every example, in order, from batches of similar length.
///
/// # Errors
/// When a batch does not fit the model.
pub fn classify(
    model: &SequenceClassifier,
    set: &TextSet,
    how: Inference<'_>,
) -> Result<Vec<Vec<f32>>, TrainError> {
    let plan = BatchPlan::evaluation(&set.lengths(), how.batch_size, None)?;
    let mut rows = Vec::with_capacity(set.encoded.len());
    for examples in plan.batches() {
        let batch = set.batch(examples, how.pad_id, how.device)?;
        model.encoder.check(&batch)?;
        let adapters = how.adapters.map(|adapters| {
            let adapters: Vec<Option<&str>> = examples.iter().map(|row| adapters[*row]).collect();
            RowAdapters::new(&adapters, how.device)
        });
        let mut pass = Pass::eval();
        if let Some(adapters) = &adapters {
            pass = pass.with_rows(adapters);
        }
        let logits = model.logits(&batch, &mut pass);
        let labels = logits.dims()[1];
        let values: Vec<f32> = logits.into_data().iter::<f32>().collect();
        rows.extend(values.chunks(labels).map(<[f32]>::to_vec));
    }
    Ok(plan.restore(rows))
}

/// Loss and metrics of logits whose targets are known.
#[must_use]
pub fn score_logits(
    logits: &[Vec<f32>],
    targets: &[Target],
    objective: Objective,
    metrics: &[Metric],
) -> Scores {
    let losses = logits
        .iter()
        .zip(targets)
        .map(|(row, target)| match (objective, target) {
            (Objective::Classes(_), Target::Class(class)) => negative_log_likelihood(row, *class),
            (_, target) => (f64::from(row[0]) - value_of(target)).powi(2),
        });
    let loss = losses.sum::<f64>() / logits.len().max(1) as f64;
    let value = |metric: &Metric| match objective {
        Objective::Classes(_) => {
            let predicted: Vec<usize> = logits.iter().map(|row| argmax(row)).collect();
            let truth: Vec<usize> = targets
                .iter()
                .map(|target| match target {
                    Target::Class(class) => *class,
                    _ => usize::MAX,
                })
                .collect();
            metric.of_classes(&predicted, &truth)
        }
        Objective::Value => {
            let predicted: Vec<f64> = logits.iter().map(|row| f64::from(row[0])).collect();
            let truth: Vec<f64> = targets.iter().map(value_of).collect();
            metric.of_values(&predicted, &truth)
        }
    };
    let metrics: IndexMap<String, f64> = metrics
        .iter()
        .filter_map(|metric| Some((metric.name().to_owned(), value(metric)?)))
        .collect();
    Scores { loss, metrics }
}

fn negative_log_likelihood(logits: &[f32], class: usize) -> f64 {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|l| f64::from(l - largest).exp()).sum();
    sum.ln() - f64::from(logits[class] - largest)
}

/// Index of the largest logit; the first of equals.
fn argmax(logits: &[f32]) -> usize {
    let mut best = 0;
    for (index, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = index;
        }
    }
    best
}
