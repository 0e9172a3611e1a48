//! A metric of the labels at hand: which class it is of, and whether it says anything of a task.

use super::Metric;
use crate::TrainError;
use crate::data::LabelSet;

/// A metric, and the class that counts as the positive one where it is of one class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measure {
    metric: Metric,
    /// Index and name.
    positive: Option<(usize, String)>,
}

/// A metric of one class is of class 1 where nothing says which.
impl From<Metric> for Measure {
    fn from(metric: Metric) -> Self {
        Self {
            metric,
            positive: None,
        }
    }
}

impl Measure {
    /// The metric of these labels; one of a single class is of `positive`, of two classes else of the second one.
    ///
    /// # Errors
    /// [`TrainError::Option`] for a metric of values, for one of a single class among three or more where none is named, and for a name
    /// that is no label.
    pub fn of_labels(
        metric: Metric,
        labels: &LabelSet,
        positive: Option<&str>,
    ) -> Result<Self, TrainError> {
        if !metric.is_of_classes() {
            return Err(no_sense(metric, "labels", Metric::is_of_classes));
        }
        if !metric.is_of_one_class() {
            return Ok(metric.into());
        }
        let class = match positive {
            Some(name) => labels.id(name).ok_or_else(|| TrainError::Option {
                option: "positive",
                expected: format!("one of the labels {}", labels.examples()),
                found: name.to_owned(),
            })?,
            None if labels.len() == 2 => 1,
            None => {
                return Err(TrainError::Option {
                    option: "metrics",
                    expected: format!(
                        "{0}_macro or f1_weighted for {1} labels, or the label that {0} is of (--positive LABEL, one of {2})",
                        metric.name(),
                        labels.len(),
                        labels.examples()
                    ),
                    found: metric.name().to_owned(),
                });
            }
        };
        let name = labels.name(class).unwrap_or_default().to_owned();
        Ok(Self {
            metric,
            positive: Some((class, name)),
        })
    }

    /// The metric of a regression.
    ///
    /// # Errors
    /// [`TrainError::Option`] for a metric of classes.
    pub fn of_numbers(metric: Metric) -> Result<Self, TrainError> {
        if metric.is_of_values() {
            return Ok(metric.into());
        }
        Err(no_sense(metric, "numbers", Metric::is_of_values))
    }

    /// The metric.
    pub fn metric(&self) -> Metric {
        self.metric
    }

    /// The name under which its value is reported: of a metric of one class with the class, `f1 (fraud)`.
    pub fn key(&self) -> String {
        match &self.positive {
            Some((_, name)) => format!("{} ({name})", self.metric.name()),
            None => self.metric.name().to_owned(),
        }
    }

    /// As [`Metric::of_classes`].
    ///
    /// # Panics
    /// When the slices differ in length.
    pub fn of_classes(&self, predicted: &[usize], truth: &[usize]) -> Option<f64> {
        let class = self.positive.as_ref().map_or(1, |(class, _)| *class);
        self.metric.of_classes(predicted, truth, class)
    }
}

fn no_sense(metric: Metric, of: &str, fits: fn(Metric) -> bool) -> TrainError {
    let fitting = Metric::ALL.into_iter().filter(|metric| fits(*metric));
    let fitting: Vec<&str> = fitting.map(Metric::name).collect();
    TrainError::Option {
        option: "metrics",
        expected: format!("a metric of {of}: {}", fitting.join(", ")),
        found: metric.name().to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic is the failure report")]
mod tests {
    use super::*;

    fn labels(names: &[&str]) -> LabelSet {
        LabelSet::of(names.iter().map(ToString::to_string))
    }

    #[test]
    fn a_metric_of_one_class_says_of_which_and_can_be_of_either() {
        let two = labels(&["normal", "fraud"]);
        let (predicted, truth) = ([1, 1, 1, 0], [1, 1, 0, 1]);
        let usual = Measure::of_labels(Metric::F1, &two, None).unwrap();
        assert_eq!(usual.key(), "f1 (normal)");
        assert_eq!(usual.of_classes(&predicted, &truth), Some(2.0 / 3.0));
        let fraud = Measure::of_labels(Metric::F1, &two, Some("fraud")).unwrap();
        assert_eq!(fraud.key(), "f1 (fraud)");
        assert_eq!(fraud.of_classes(&predicted, &truth), Some(0.0));
        assert_eq!(
            Measure::of_labels(Metric::Accuracy, &two, Some("fraud"))
                .unwrap()
                .key(),
            "accuracy"
        );
        assert!(Measure::of_labels(Metric::F1, &two, Some("frauds")).is_err());
    }

    #[test]
    fn one_class_of_three_has_to_be_named() {
        let three = labels(&["a", "b", "c"]);
        for metric in [Metric::F1, Metric::Precision, Metric::Recall] {
            let error = Measure::of_labels(metric, &three, None)
                .unwrap_err()
                .to_string();
            assert!(
                error.contains("_macro") && error.contains("--positive"),
                "{error}"
            );
            let one = Measure::of_labels(metric, &three, Some("c")).unwrap();
            assert_eq!(one.of_classes(&[2, 2, 0], &[2, 2, 1]), Some(1.0));
        }
    }

    #[test]
    fn metrics_of_another_kind_are_refused_with_those_that_fit() {
        let error = Measure::of_labels(Metric::Pearson, &labels(&["a", "b"]), None).unwrap_err();
        assert!(error.to_string().contains("accuracy"), "{error}");
        let error = Measure::of_numbers(Metric::Matthews)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("pearson") && !error.contains("accuracy,"),
            "{error}"
        );
        assert!(Measure::of_numbers(Metric::Perplexity).is_err());
    }
}
