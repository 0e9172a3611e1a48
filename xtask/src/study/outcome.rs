//! What a finished run says of itself, and the learning rate that short runs speak for.

use std::path::Path;

use anyhow::{Context, bail};

/// Seeds of the short runs a learning rate is chosen by. One is not enough: a rate at the edge of stability wins by a hair with one
/// seed and ruins the run with another.
pub(super) const CHOOSING: [u64; 2] = [1000, 1001];

/// The one metric of which less is better.
const PERPLEXITY: &str = "perplexity";

/// What is kept of a finished run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outcome {
    pub(super) metric: f64,
    /// The metric, or its opposite where less is better.
    pub(super) score: f64,
    pub(super) loss: f64,
    pub(super) trainable: u64,
    pub(super) seconds: f64,
    pub(super) memory_mib: u64,
}

impl Outcome {
    /// Reads `results.json` of a run.
    pub(super) fn read(text: &str, metric: &str) -> anyhow::Result<Self> {
        let results: serde_json::Value = serde_json::from_str(text)?;
        let number = |path: &str| results.pointer(path).and_then(serde_json::Value::as_f64);
        let whole = |path: &str| results.pointer(path).and_then(serde_json::Value::as_u64);
        let found = (
            number(&format!("/scores/metrics/{metric}")),
            number("/scores/loss"),
            whole("/parameters/trainable"),
            number("/seconds"),
            whole("/peak_memory_mib"),
        );
        match found {
            (Some(value), Some(loss), Some(trainable), Some(seconds), Some(memory_mib)) => {
                Ok(Self {
                    metric: value,
                    score: if metric == PERPLEXITY { -value } else { value },
                    loss,
                    trainable,
                    seconds,
                    memory_mib,
                })
            }
            _ => bail!("expected {metric}, parameters, seconds and memory, found {results}"),
        }
    }

    /// By the score, and where that is equal by the loss: a metric such as Matthews' is 0 until the rarer class is seen.
    fn is_better_than(&self, other: &Self) -> bool {
        self.score > other.score || (self.score >= other.score && self.loss < other.loss)
    }
}

/// Step and validation loss of every evaluation in the log of a run.
pub(super) fn curve(log: &Path) -> anyhow::Result<Vec<(u64, f64)>> {
    let text =
        std::fs::read_to_string(log).with_context(|| format!("cannot read {}", log.display()))?;
    let records = text.lines().map(serde_json::from_str::<serde_json::Value>);
    let mut points = Vec::new();
    for record in records {
        let record = record.with_context(|| format!("in {}", log.display()))?;
        if let (Some("eval"), Some(step), Some(loss)) = (
            record["kind"].as_str(),
            record["step"].as_u64(),
            record["loss"].as_f64(),
        ) {
            points.push((step, loss));
        }
    }
    Ok(points)
}

/// The rate whose worst short run is best.
pub(super) fn choose(found: &[(f64, Outcome)]) -> anyhow::Result<f64> {
    let mut worst: Vec<(f64, Outcome)> = Vec::new();
    for &(rate, outcome) in found {
        match worst
            .iter_mut()
            .find(|(other, _)| other.total_cmp(&rate).is_eq())
        {
            Some((_, other)) if other.is_better_than(&outcome) => *other = outcome,
            Some(_) => {}
            None => worst.push((rate, outcome)),
        }
    }
    let best = worst.into_iter().reduce(|best, other| {
        if other.1.is_better_than(&best.1) {
            other
        } else {
            best
        }
    });
    let (rate, _) = best.context("no learning rate to choose from")?;
    Ok(rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_that_fails_with_one_seed_is_not_chosen() {
        let outcome = |metric| Outcome {
            metric,
            score: metric,
            loss: 0.3,
            trainable: 1,
            seconds: 1.0,
            memory_mib: 1,
        };
        let found = [(0.1, 0.8), (0.1, 0.8), (1.0, 0.9), (1.0, 0.5)];
        let found = found.map(|(rate, metric)| (rate, outcome(metric)));
        assert!((choose(&found).unwrap() - 0.1).abs() < 1e-12);
        assert!((choose(&found[..3]).unwrap() - 1.0).abs() < 1e-12);
        assert!(choose(&[]).is_err());
    }

    #[test]
    fn a_result_without_the_metric_is_an_error() {
        let text = r#"{"parameters": {"trainable": 5}, "seconds": 1.5, "peak_memory_mib": 7,
                       "scores": {"loss": 0.6, "metrics": {"accuracy": 0.5}}}"#;
        let found = Outcome::read(text, "accuracy").unwrap();
        assert_eq!(
            (found.metric, found.trainable, found.memory_mib),
            (0.5, 5, 7)
        );
        assert!(
            Outcome::read(text, "matthews")
                .unwrap_err()
                .to_string()
                .contains("matthews")
        );
        let of = |score, loss| Outcome {
            score,
            loss,
            ..found
        };
        assert!(of(0.6, 0.9).is_better_than(&of(0.5, 0.1)));
        assert!(of(0.5, 0.1).is_better_than(&of(0.5, 0.2)));
        assert!(!of(0.5, 0.2).is_better_than(&of(0.5, 0.2)));
        let of = |perplexity: f64| {
            let text = text.replace(
                "\"accuracy\": 0.5",
                &format!("\"perplexity\": {perplexity}"),
            );
            Outcome::read(&text, "perplexity").unwrap()
        };
        assert!(of(90.0).is_better_than(&of(100.0)) && !of(100.0).is_better_than(&of(90.0)));
    }
}
