//! `cargo xtask compare-basis`: the time of a basis of 500 adapters beside numpy's for the same algorithm.
//!
//! The two take turns on the same files; numpy's BLAS and this program have the same processor cores.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use serde::Deserialize;

use crate::ratio::ratio;
use crate::shell::Step;

/// Arguments of `cargo xtask compare-basis`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// A Python with numpy and safetensors.
    #[arg(long)]
    python: PathBuf,
    /// Turns.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Processor cores that both are bound to.
    #[arg(long, default_value = "0,1")]
    cores: String,
    /// Where the adapters go, 600 MB of them.
    #[arg(long, default_value = "target/compare/pool")]
    pool: PathBuf,
}

/// What both print last.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
struct Figures {
    seconds: f64,
    peak_mb: f64,
}

/// Measures and prints a table.
///
/// # Errors
/// A program does not start or does not finish.
pub(crate) fn run(root: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    Step::new("cargo build --example pool_of_500").run(root)?;
    let python = arguments.python.display().to_string();
    let ours = ["target/debug/examples/pool_of_500"];
    let theirs = [python.as_str(), "tools/compare/basis_time.py"];
    let turns = (0..arguments.rounds)
        .map(|_| {
            Ok((
                measure(root, arguments, &ours)?,
                measure(root, arguments, &theirs)?,
            ))
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    println!("{}", table(&turns));
    Ok(())
}

fn measure(root: &Path, arguments: &Arguments, program: &[&str]) -> anyhow::Result<Figures> {
    let pool = arguments.pool.display().to_string();
    let words = [program, &[pool.as_str()]].concat();
    figures(&Step::on_cores(&arguments.cores, &words).output(root)?)
}

fn figures(printed: &str) -> anyhow::Result<Figures> {
    let last = printed.lines().last().unwrap_or_default();
    serde_json::from_str(last)
        .with_context(|| format!("expected seconds and peak_mb as JSON, found {last:?}"))
}

fn table(turns: &[(Figures, Figures)]) -> String {
    let mut table =
        "| turn | seconds | numpy | peak memory | numpy |\n|---|---|---|---|---|\n".to_owned();
    for (turn, (ours, theirs)) in (1..).zip(turns) {
        table.push_str(&format!(
            "| {turn} | {:.2} | {:.2} | {:.0} MB | {:.0} MB |\n",
            ours.seconds, theirs.seconds, ours.peak_mb, theirs.peak_mb
        ));
    }
    let seconds = turns
        .iter()
        .map(|(ours, theirs)| (ours.seconds, theirs.seconds));
    table + &format!("\nSeconds, ours over numpy's: {}\n", ratio(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_counts() {
        let printed = "opened\n{\"seconds\": 2.0, \"peak_mb\": 140.4, \"numpy\": \"2.4\"}\n";
        let ours = figures(printed).unwrap();
        let expected = Figures {
            seconds: 2.0,
            peak_mb: 140.4,
        };
        assert_eq!(ours, expected);
        assert!(figures("").unwrap_err().to_string().contains("seconds"));
        let theirs = Figures {
            seconds: 4.0,
            peak_mb: 900.0,
        };
        let table = table(&[(ours, theirs)]);
        assert!(
            table.contains("| 1 | 2.00 | 4.00 | 140 MB | 900 MB |"),
            "{table}"
        );
        assert!(table.contains("0.50 (0.50 to 0.50)"), "{table}");
    }
}
