//! `peft quickstart`: a complete tour on a bundled model, in under a minute.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use crate::quickstart::{self, Report};

/// Where the tour is written to.
#[derive(Debug, Args)]
pub struct QuickstartArgs {
    /// Directory to write.
    #[arg(long, default_value = "peft-quickstart")]
    out: PathBuf,
    /// Write into a directory that is not empty.
    #[arg(long)]
    overwrite: bool,
    /// auto, flex, ndarray, wgpu, vulkan, metal or cuda (cuda:1 for the second).
    #[arg(long, default_value = "auto")]
    device: String,
}

/// Runs the verb; an error when what was written does not answer as what was trained.
pub fn run(args: &QuickstartArgs, json: bool) -> Result<()> {
    let report = quickstart::run(&args.out, args.overwrite, &args.device)?;
    if json {
        super::print_json(&report)?;
    } else {
        print(&report);
    }
    report.verification.check()
}

fn print(report: &Report) {
    println!(
        "{:<6} {:>10} {:>8} {:>9} {:>8}",
        "method", "trainable", "share", "accuracy", "seconds"
    );
    for row in &report.methods {
        println!(
            "{:<6} {:>10} {:>6.2} % {:>7.1} % {:>8.1}",
            row.method,
            row.trainable,
            100.0 * row.trainable as f64 / row.total as f64,
            100.0 * row.accuracy,
            row.seconds
        );
    }
    let reloaded = &report.verification.reloaded;
    let merged = &report.verification.merged;
    println!();
    println!(
        "adapter reloaded: largest difference of a logit {:.1e}",
        reloaded.largest_difference
    );
    println!(
        "adapter merged:   largest difference of a logit {:.1e}, accuracy {:.1} %",
        merged.largest_difference,
        100.0 * merged.accuracy
    );
    for picture in &report.pictures {
        println!("curves: {}", picture.display());
    }
    println!("{:.1} s in all. What to try next:", report.seconds);
    for command in &report.next {
        println!("  {command}");
    }
}
