//! Means with intervals, as a Markdown table.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::data_set::DataSet;
use super::outcome::Outcome;

/// One method's runs on one data set.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: &'static str,
    /// What the program calls the method.
    pub(super) method: &'static str,
    /// The learning rate that was chosen.
    pub(super) rate: f64,
    /// One per seed.
    pub(super) outcomes: Vec<Outcome>,
    /// Step and validation loss of every evaluation, one list per seed.
    pub(super) curves: Vec<Vec<(u64, f64)>>,
    /// Folders of the runs, one per seed.
    pub(super) runs: Vec<PathBuf>,
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
    let has_curves = rows
        .iter()
        .any(|row| row.curves.iter().any(|points| points.len() > 1));
    let (head, line) = if has_curves {
        (" steps to the loss of the first of its method |", "---|")
    } else {
        ("", "")
    };
    let mut text = format!(
        "### {}: {} after {steps} steps\n\n| method | {} | each seed | loss | rate | trained | seconds | peak memory |{head}\n|---|---|---|---|---|---|---|---|{line}\n",
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
            "| {} | {mean:.4}{interval} | {} | {:.4} | {:e} | {trained} | {:.0} | {memory} MiB |{}",
            row.name,
            seeds.join(", "),
            mean_and_half_width(&losses).0,
            row.rate,
            mean_and_half_width(&seconds).0,
            if has_curves {
                format!(" {} |", steps_to_goal(row, rows))
            } else {
                String::new()
            },
        );
    }
    text
}

/// At which evaluation each seed was first down to the mean final loss of the first row of the same method: the mean over the seeds that
/// ever were, and how many.
fn steps_to_goal(row: &Row, rows: &[Row]) -> String {
    let first = rows.iter().find(|other| other.method == row.method);
    let losses: Vec<f64> = first
        .map_or(&[][..], |first| &first.outcomes)
        .iter()
        .map(|run| run.loss)
        .collect();
    let goal = mean_and_half_width(&losses).0;
    let reached = |points: &Vec<(u64, f64)>| {
        let at = points.iter().find(|(_, loss)| *loss <= goal)?;
        #[expect(clippy::cast_precision_loss, reason = "a few thousand steps")]
        Some(at.0 as f64)
    };
    let steps: Vec<f64> = row.curves.iter().filter_map(reached).collect();
    if steps.is_empty() {
        return "never".into();
    }
    let mean = mean_and_half_width(&steps).0;
    format!("{mean:.0} ({} of {})", steps.len(), row.curves.len())
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
            score: metric,
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
            settings: &[],
            metric: "accuracy",
            rounds: 1,
        };
        let mut row = Row {
            name: "M",
            method: "m",
            rate: 2e-3,
            outcomes: vec![outcome(0.5), outcome(0.75)],
            curves: vec![],
            runs: vec![],
        };
        let text = table(&data, 10, std::slice::from_ref(&row));
        assert!(!text.contains("steps to the loss"));
        for part in [
            "0.6250 ± ",
            "0.5000, 0.7500 | 0.5000 |",
            "2e-3",
            "| 42 |",
            "7 MiB",
        ] {
            assert!(text.contains(part), "`{part}` in {text}");
        }
        // The mean final loss is 0.5: reached at step 4 by one seed, by the other never.
        row.curves = vec![vec![(2, 0.7), (4, 0.5)], vec![(2, 0.7), (4, 0.6)]];
        let text = table(&data, 10, &[row]);
        assert!(text.contains("| 4 (1 of 2) |"), "{text}");
    }
}
