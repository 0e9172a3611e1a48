//! Metrics, all computed in f64, with a number (or `None`) for every input, never NaN.

mod classification;
mod measure;
mod regression;

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use classification::{Average, Counts, mean, of_class};
pub use classification::{accuracy, matthews};
pub use measure::Measure;
pub use regression::{mse, pearson, spearman};

use crate::TrainError;

/// A metric by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// [`accuracy`]
    Accuracy,
    /// `2 tp / (2 tp + fp + fn)` of one class.
    F1,
    /// Mean of the F1 of every class.
    F1Macro,
    /// Mean of the F1 of every class, each weighted by how often it is true.
    F1Weighted,
    /// `tp / (tp + fp)` of one class.
    Precision,
    /// Mean of the precision of every class.
    PrecisionMacro,
    /// `tp / (tp + fn)` of one class.
    Recall,
    /// Mean of the recall of every class, the balanced accuracy.
    RecallMacro,
    /// [`matthews`]
    Matthews,
    /// [`pearson`]
    Pearson,
    /// [`spearman`]
    Spearman,
    /// [`mse`]
    Mse,
    /// `exp` of the mean loss per token of a language model.
    Perplexity,
}

impl Metric {
    /// Every metric.
    pub const ALL: [Self; 13] = [
        Self::Accuracy,
        Self::F1,
        Self::F1Macro,
        Self::F1Weighted,
        Self::Precision,
        Self::PrecisionMacro,
        Self::Recall,
        Self::RecallMacro,
        Self::Matthews,
        Self::Pearson,
        Self::Spearman,
        Self::Mse,
        Self::Perplexity,
    ];

    /// The name in files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::F1 => "f1",
            Self::F1Macro => "f1_macro",
            Self::F1Weighted => "f1_weighted",
            Self::Precision => "precision",
            Self::PrecisionMacro => "precision_macro",
            Self::Recall => "recall",
            Self::RecallMacro => "recall_macro",
            Self::Matthews => "matthews",
            Self::Pearson => "pearson",
            Self::Spearman => "spearman",
            Self::Mse => "mse",
            Self::Perplexity => "perplexity",
        }
    }

    /// Whether a greater value is a better model; `false` for errors alone.
    pub fn higher_is_better(self) -> bool {
        !matches!(self, Self::Mse | Self::Perplexity)
    }

    /// Whether it compares classes rather than values.
    pub fn is_of_classes(self) -> bool {
        !self.is_of_values() && self != Self::Perplexity
    }

    /// Whether it compares values.
    pub fn is_of_values(self) -> bool {
        matches!(self, Self::Pearson | Self::Spearman | Self::Mse)
    }

    /// Whether it is of one class against all others.
    pub fn is_of_one_class(self) -> bool {
        matches!(self, Self::F1 | Self::Precision | Self::Recall)
    }

    /// Compares predicted with true classes; `None` for a metric of values. `positive` is the class that a metric of one class is of.
    ///
    /// # Panics
    /// When the slices differ in length.
    pub fn of_classes(self, predicted: &[usize], truth: &[usize], positive: usize) -> Option<f64> {
        let one = |value| Some(of_class(predicted, truth, positive, value));
        let all = |value, average| Some(mean(predicted, truth, value, average));
        match self {
            Self::Accuracy => Some(accuracy(predicted, truth)),
            Self::F1 => one(Counts::f1),
            Self::F1Macro => all(Counts::f1, Average::Macro),
            Self::F1Weighted => all(Counts::f1, Average::Weighted),
            Self::Precision => one(Counts::precision),
            Self::PrecisionMacro => all(Counts::precision, Average::Macro),
            Self::Recall => one(Counts::recall),
            Self::RecallMacro => all(Counts::recall, Average::Macro),
            Self::Matthews => Some(matthews(predicted, truth)),
            Self::Pearson | Self::Spearman | Self::Mse | Self::Perplexity => None,
        }
    }

    /// Compares predicted with true values; `None` for a metric of classes, or when a value is not finite.
    ///
    /// # Panics
    /// When the slices differ in length.
    pub fn of_values(self, predicted: &[f64], truth: &[f64]) -> Option<f64> {
        match self {
            Self::Pearson => pearson(predicted, truth),
            Self::Spearman => spearman(predicted, truth),
            Self::Mse => mse(predicted, truth),
            _ => None,
        }
    }
}

impl FromStr for Metric {
    type Err = TrainError;

    fn from_str(text: &str) -> Result<Self, TrainError> {
        Self::ALL
            .into_iter()
            .find(|metric| metric.name() == text)
            .ok_or_else(|| TrainError::Option {
                option: "metric",
                expected: Self::ALL.map(Self::name).join(", "),
                found: text.to_string(),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_parsed_and_written_by_its_name() {
        for metric in Metric::ALL {
            assert_eq!(metric.name().parse::<Metric>().unwrap(), metric);
            assert_eq!(serde_json::to_value(metric).unwrap(), metric.name());
        }
        let error = "bleu".parse::<Metric>().unwrap_err().to_string();
        assert!(
            error.contains("matthews") && error.contains("bleu"),
            "{error}"
        );
    }

    #[test]
    fn a_metric_answers_for_its_own_kind_alone() {
        for metric in Metric::ALL {
            assert_eq!(
                metric.of_classes(&[0, 1], &[0, 1], 1).is_some(),
                metric.is_of_classes()
            );
            assert_eq!(
                metric.of_values(&[0.0, 1.0], &[0.0, 1.0]).is_some(),
                metric.is_of_values()
            );
        }
        assert!(!Metric::Mse.higher_is_better() && Metric::F1.higher_is_better());
    }
}
