//! Means with intervals, as a Markdown table.

use std::fmt::Write as _;

use super::outcome::Outcome;
use super::run::DataSet;

/// One method's runs on one data set.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: &'static str,
    /// The learning rate that was chosen.
    pub(super) rate: f64,
    /// One per seed.
    pub(super) outcomes: Vec<Outcome>,
}

/// 97.5 % quantiles of Student's distribution with 1, 2, .. degrees of freedom.
const STUDENT: [f64; 9] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262,
];

/// Mean and half the width of its 95 % interval; no interval from a single value.
fn mean_and_half_width(values: &[f64]) -> (f64, Option<f64>) {
    #[expect(clippy::cast_precision_loss, reason = "a handful of seeds")]
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    if values.len() < 2 {
        return (mean, None);
    }
    let variance = values
        .iter()
        .map(|value| (value - mean).powi(2))
        .sum::<f64>()
        / (count - 1.0);
    let quantile = STUDENT.get(values.len() - 2).copied().unwrap_or(1.96);
    (mean, Some(quantile * (variance / count).sqrt()))
}

/// The table of one data set.
pub(super) fn table(data: &DataSet, steps: usize, rows: &[Row]) -> String {
    let mut text = format!(
        "### {}: {} after {steps} steps of 32\n\n| method | {} | each seed | loss | rate | trained | seconds | peak memory |\n|---|---|---|---|---|---|---|---|\n",
        data.name, data.metric, data.metric
    );
    for row in rows {
        let values: Vec<f64> = row.outcomes.iter().map(|run| run.metric).collect();
        let (mean, half) = mean_and_half_width(&values);
        let interval = half.map_or(String::new(), |half| format!(" ± {half:.4}"));
        let seeds: Vec<String> = values.iter().map(|value| format!("{value:.4}")).collect();
        let seconds: Vec<f64> = row.outcomes.iter().map(|run| run.seconds).collect();
        let losses: Vec<f64> = row.outcomes.iter().map(|run| run.loss).collect();
        let memory = row
            .outcomes
            .iter()
            .map(|run| run.memory_mib)
            .max()
            .unwrap_or(0);
        let trained = row.outcomes.first().map_or(0, |run| run.trainable);
        let _ = writeln!(
            text,
            "| {} | {mean:.4}{interval} | {} | {:.4} | {:e} | {trained} | {:.0} | {memory} MiB |",
            row.name,
            seeds.join(", "),
            mean_and_half_width(&losses).0,
            row.rate,
            mean_and_half_width(&seconds).0,
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_students() {
        let (mean, half) = mean_and_half_width(&[1.0, 2.0, 3.0]);
        assert!((mean - 2.0).abs() < 1e-12);
        // s = 1, t = 4.303, n = 3
        assert!((half.unwrap() - 4.303 / 3.0f64.sqrt()).abs() < 1e-9);
        assert_eq!(mean_and_half_width(&[5.0]), (5.0, None));
    }

    #[test]
    fn every_seed_is_in_the_table() {
        let outcome = |metric| Outcome {
            metric,
            loss: 0.5,
            trainable: 42,
            seconds: 2.0,
            memory_mib: 7,
        };
        let data = DataSet {
            name: "D",
            task: "",
            train: "",
            dev: "",
            columns: "",
            metric: "accuracy",
            rounds: 1,
        };
        let row = Row {
            name: "M",
            rate: 2e-3,
            outcomes: vec![outcome(0.5), outcome(0.75)],
        };
        let text = table(&data, 10, &[row]);
        for part in [
            "0.6250 ± ",
            "0.5000, 0.7500 | 0.5000 |",
            "2e-3",
            "| 42 |",
            "7 MiB",
        ] {
            assert!(text.contains(part), "`{part}` in {text}");
        }
    }
}
