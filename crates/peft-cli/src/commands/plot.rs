//! `peft plot`: loss and metric curves of one run, or of several in one picture; and which experts a run uses, where it has any.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use indexmap::IndexMap;
use peft_core::file::disk;
use peft_train::LOG_FILE;
use peft_train::log::read_log;
use serde::Serialize;
use serde_json::Value;

use crate::picture::{ChartOptions, Series, draw_curves, expert_map};
use peft_run::run::expert_use;

/// What to draw, and where to.
#[derive(Debug, Args)]
pub struct PlotArgs {
    /// Run directories; several are drawn into the same picture.
    #[arg(required = true, value_name = "RUN_DIR")]
    runs: Vec<PathBuf>,
    /// Directory for curves, metrics and, of one run with experts, experts, each as .svg and .png; the first run directory when absent.
    #[arg(long)]
    out: Option<PathBuf>,
}

/// Points `(step, value)`.
type Points = Vec<(f64, f64)>;

/// The curves of one run.
#[derive(Debug, Default)]
struct Curves {
    train: Points,
    valid: Points,
    metrics: IndexMap<String, Points>,
}

/// What was drawn.
#[derive(Debug, Serialize)]
struct PlotResult {
    files: Vec<PathBuf>,
    runs: Vec<DrawnRun>,
}

/// How much of a run there was to draw.
#[derive(Debug, Serialize)]
struct DrawnRun {
    run: PathBuf,
    train_points: usize,
    valid_points: usize,
    metrics: Vec<String>,
}

/// Runs the verb.
pub fn run(args: &PlotArgs, json: bool) -> Result<()> {
    let curves = args
        .runs
        .iter()
        .map(|dir| read(dir))
        .collect::<Result<Vec<_>>>()?;
    let prefixes = prefixes(&args.runs);
    let out = args.out.as_ref().unwrap_or(&args.runs[0]);
    disk::create_dir_all(out).with_context(|| format!("cannot create {}", out.display()))?;
    let mut files = Vec::new();
    let (mut loss, mut metrics) = (Vec::new(), Vec::new());
    for (curves, prefix) in curves.iter().zip(&prefixes) {
        let series = |name: &str, points: &Points| Series {
            name: format!("{prefix}{name}"),
            points: points.clone(),
        };
        let parts = [("train", &curves.train), ("valid", &curves.valid)];
        loss.extend(
            parts
                .iter()
                .filter(|(_, points)| !points.is_empty())
                .map(|(name, points)| series(name, points)),
        );
        metrics.extend(
            curves
                .metrics
                .iter()
                .map(|(name, points)| series(name, points)),
        );
    }
    for (name, label, series) in [("curves", "loss", &loss), ("metrics", "metric", &metrics)] {
        if series.iter().any(has_finite_point) {
            files.extend(draw(out, name, label, series)?);
        }
    }
    if files.is_empty() {
        bail!("no loss or metric in the logs is finite: there is nothing to draw");
    }
    if let [only] = args.runs.as_slice()
        && let Some(used) = expert_use::read(only)?
    {
        files.extend(expert_map::map(&used).draw(&out.join("experts"))?);
    }
    let result = PlotResult {
        files,
        runs: args.runs.iter().zip(&curves).map(drawn).collect(),
    };
    if json {
        return super::print_json(&result);
    }
    for file in &result.files {
        println!("{}", file.display());
    }
    Ok(())
}

fn has_finite_point(series: &Series) -> bool {
    series.points.iter().any(|(_, value)| value.is_finite())
}

fn draw(out: &Path, name: &str, label: &str, series: &[Series]) -> Result<[PathBuf; 2]> {
    let options = ChartOptions {
        title: format!("{label} over steps"),
        y_label: label.into(),
        ..ChartOptions::default()
    };
    let files = ["svg", "png"].map(|extension| out.join(format!("{name}.{extension}")));
    draw_curves(series, &options, &files[0], &files[1])?;
    Ok(files)
}

fn drawn((run, curves): (&PathBuf, &Curves)) -> DrawnRun {
    DrawnRun {
        run: run.clone(),
        train_points: curves.train.len(),
        valid_points: curves.valid.len(),
        metrics: curves.metrics.keys().cloned().collect(),
    }
}

/// What goes before the names of a run's curves: nothing for one run, else its folder name or, where two runs share
/// that, its path.
fn prefixes(runs: &[PathBuf]) -> Vec<String> {
    if runs.len() == 1 {
        return vec![String::new()];
    }
    let name = |run: &PathBuf| {
        run.file_name()
            .map(|name| name.to_string_lossy().into_owned())
    };
    let is_unique =
        |run: &PathBuf| runs.iter().filter(|other| name(other) == name(run)).count() == 1;
    runs.iter()
        .map(|run| match name(run).filter(|_| is_unique(run)) {
            Some(name) => format!("{name} "),
            None => format!("{} ", run.display()),
        })
        .collect()
}

/// Reads the log of a run directory.
fn read(dir: &Path) -> Result<Curves> {
    let path = dir.join(LOG_FILE);
    if !path.exists() {
        bail!(
            "{} does not exist: give a run directory, the --out of `peft train`",
            path.display()
        );
    }
    let curves = curves(&read_log(&path)?);
    if curves.train.is_empty() && curves.valid.is_empty() {
        bail!(
            "{} holds no loss yet: let the run take a few steps",
            path.display()
        );
    }
    Ok(curves)
}

/// Training records give the training loss, evaluations the validation loss and the metrics.
fn curves(records: &[Value]) -> Curves {
    let mut curves = Curves::default();
    for record in records {
        let Some(step) = record["step"].as_f64() else {
            continue;
        };
        // A loss that was not finite stands as null and interrupts the line.
        let loss = (step, record["loss"].as_f64().unwrap_or(f64::NAN));
        match record["kind"].as_str() {
            Some("train") => curves.train.push(loss),
            Some("eval") => {
                curves.valid.push(loss);
                for (name, value) in record["metrics"].as_object().into_iter().flatten() {
                    let points = curves.metrics.entry(name.clone()).or_default();
                    points.push((step, value.as_f64().unwrap_or(f64::NAN)));
                }
            }
            _ => {}
        }
    }
    curves
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn records_go_to_the_curve_of_their_kind() {
        let records = [
            json!({"kind": "train", "step": 10, "loss": 1.5}),
            json!({"kind": "eval", "step": 10, "loss": 1.25, "metrics": {"accuracy": 0.5, "f1": null}}),
            json!({"kind": "train", "step": 20, "loss": null}),
            json!({"kind": "note"}),
        ];
        let curves = curves(&records);
        assert_eq!(curves.train[0], (10.0, 1.5));
        assert!(curves.train[1].1.is_nan());
        assert_eq!(curves.valid, [(10.0, 1.25)]);
        assert_eq!(curves.metrics["accuracy"], [(10.0, 0.5)]);
        assert!(curves.metrics["f1"][0].1.is_nan());
    }

    #[test]
    fn several_runs_are_told_apart_by_folder_name_or_by_path() {
        assert_eq!(prefixes(&["a/x".into()]), [""]);
        assert_eq!(prefixes(&["a/x".into(), "a/y".into()]), ["x ", "y "]);
        let same = prefixes(&["a/x".into(), "b/x".into()]);
        assert_eq!(same, ["a/x ", "b/x "]);
    }
}
