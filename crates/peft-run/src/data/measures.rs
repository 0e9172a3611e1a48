//! Which metrics are reported, and of which label.

use peft_train::data::LabelSet;
use peft_train::metric::{Measure, Metric};

use crate::{Error, Result};

/// Refuses metrics of a language model but perplexity; `called` is what the settings are called.
///
/// # Errors
/// When anything else is asked for.
pub fn perplexity_alone(asked: &[Metric], positive: Option<&str>, called: &str) -> Result<()> {
    let is_usual = |metric: &Metric| *metric == Metric::Perplexity;
    if positive.is_none() && asked.iter().all(is_usual) {
        return Ok(());
    }
    Err(Error::Usage(format!(
        "{called}: a language model is judged by its perplexity; leave them out"
    )))
}

/// The metrics asked for, or those usual for the task; `positive` is the label that metrics of one label are of.
///
/// # Errors
/// When a metric makes no sense for the labels, or a setting has no effect.
pub fn measures(
    asked: &[Metric],
    positive: Option<&str>,
    labels: Option<&LabelSet>,
) -> Result<Vec<Measure>> {
    let Some(labels) = labels else {
        if let Some(positive) = positive {
            return Err(Error::Usage(format!(
                "--positive {positive}: numbers have no labels; leave it out"
            )));
        }
        let usual = [Metric::Pearson, Metric::Spearman, Metric::Mse];
        let asked = if asked.is_empty() { &usual[..] } else { asked };
        let measures = asked.iter().map(|metric| Measure::of_numbers(*metric));
        return Ok(measures.collect::<Result<_, _>>()?);
    };
    let one_of_all = if labels.len() == 2 || positive.is_some() {
        Metric::F1
    } else {
        Metric::F1Macro
    };
    let usual = [Metric::Accuracy, one_of_all, Metric::Matthews];
    let asked = if asked.is_empty() { &usual[..] } else { asked };
    if let Some(positive) = positive
        && !asked.iter().any(|metric| metric.is_of_one_class())
    {
        return Err(Error::Usage(format!(
            "--positive {positive}: none of the metrics is of one label; ask for f1, precision or recall"
        )));
    }
    let measures = asked
        .iter()
        .map(|metric| Measure::of_labels(*metric, labels, positive));
    Ok(measures.collect::<Result<_, _>>()?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic is the failure report")]
mod tests {
    use super::*;

    fn keys(asked: &[Metric], positive: Option<&str>, labels: &[&str]) -> Result<Vec<String>> {
        let labels = LabelSet::of(labels.iter().map(ToString::to_string));
        let measures = measures(asked, positive, Some(&labels))?;
        Ok(measures.iter().map(Measure::key).collect())
    }

    #[test]
    fn the_usual_metrics_name_their_label() {
        let two = ["normal", "fraud"];
        assert_eq!(keys(&[], None, &two).unwrap()[1], "f1 (normal)");
        assert_eq!(keys(&[], Some("fraud"), &two).unwrap()[1], "f1 (fraud)");
        assert_eq!(keys(&[], None, &["a", "b", "c"]).unwrap()[1], "f1_macro");
        assert_eq!(keys(&[], Some("b"), &["a", "b", "c"]).unwrap()[1], "f1 (b)");
    }

    #[test]
    fn a_label_without_a_metric_of_it_is_refused() {
        assert!(keys(&[Metric::Accuracy], Some("fraud"), &["normal", "fraud"]).is_err());
        assert!(measures(&[], Some("1"), None).is_err());
        assert!(measures(&[Metric::F1], None, None).is_err());
        assert_eq!(measures(&[], None, None).unwrap().len(), 3);
    }
}
