//! What logits are worth: the loss to train by, and the scores to judge by.

use burn::nn::loss::{CrossEntropyLossConfig, MseLoss, Reduction};
use burn::tensor::{DType, Int, Tensor, TensorData};
use indexmap::IndexMap;
use peft_core::cast;

use super::Scores;
use crate::data::Target;
use crate::metric::Measure;

/// What the logits mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Objective {
    /// So many classes: cross entropy.
    Classes(usize),
    /// One value: mean squared error.
    Value,
}

impl Objective {
    /// How many logits it takes.
    #[must_use]
    pub fn outputs(self) -> usize {
        match self {
            Self::Classes(classes) => classes,
            Self::Value => 1,
        }
    }
}

/// Mean loss of logits `[rows, labels]`, shape `[1]`: in f32 whatever the type of the model.
pub(super) fn loss(logits: Tensor<2>, targets: &[Target], objective: Objective) -> Tensor<1> {
    let logits = cast(logits, DType::F32);
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

/// Loss and metrics of logits whose targets are known.
#[must_use]
pub fn score_logits(
    logits: &[Vec<f32>],
    targets: &[Target],
    objective: Objective,
    metrics: &[Measure],
) -> Scores {
    let losses = logits
        .iter()
        .zip(targets)
        .map(|(row, target)| match (objective, target) {
            (Objective::Classes(_), Target::Class(class)) => negative_log_likelihood(row, *class),
            (_, target) => (f64::from(row[0]) - value_of(target)).powi(2),
        });
    let loss = losses.sum::<f64>() / logits.len().max(1) as f64;
    let value = |measure: &Measure| match objective {
        Objective::Classes(_) => {
            let predicted: Vec<usize> = logits.iter().map(|row| argmax(row)).collect();
            let truth: Vec<usize> = targets
                .iter()
                .map(|target| match target {
                    Target::Class(class) => *class,
                    _ => usize::MAX,
                })
                .collect();
            measure.of_classes(&predicted, &truth)
        }
        Objective::Value => {
            let predicted: Vec<f64> = logits.iter().map(|row| f64::from(row[0])).collect();
            let truth: Vec<f64> = targets.iter().map(value_of).collect();
            measure.metric().of_values(&predicted, &truth)
        }
    };
    let metrics: IndexMap<String, f64> = metrics
        .iter()
        .filter_map(|measure| Some((measure.key(), value(measure)?)))
        .collect();
    Scores {
        loss,
        metrics,
        ..Scores::default()
    }
}

fn negative_log_likelihood(logits: &[f32], class: usize) -> f64 {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|l| f64::from(l - largest).exp()).sum();
    sum.ln() - f64::from(logits[class] - largest)
}

/// Index of the largest logit; the first of equals.
#[must_use]
pub fn argmax(logits: &[f32]) -> usize {
    let mut best = 0;
    for (index, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = index;
        }
    }
    best
}
