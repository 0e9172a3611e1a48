//! `peft validate`: whether adapter folders are whole, and whether they suit a model, with every problem in one report.

mod summary;

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use peft_core::grouped;
use peft_run::validate::{Against, Verdict};

use summary::summary;

/// What to check.
#[derive(Debug, Args)]
pub struct ValidateArgs {
    /// Adapter folders, or repositories of the hub.
    #[arg(required = true)]
    pub adapters: Vec<PathBuf>,
    /// Folder of the base model: the adapter is loaded into it, asked and merged, as the other verbs would. Where it holds config.json alone,
    /// layers and their sizes are compared.
    #[arg(long, conflicts_with = "model_config")]
    pub model: Option<PathBuf>,
    /// The base model's config.json, wherever it lies.
    #[arg(long)]
    model_config: Option<PathBuf>,
}

/// Runs the verb.
pub fn run(args: &ValidateArgs, json: bool) -> Result<()> {
    let against = match (&args.model, &args.model_config) {
        (Some(model), _) => Some(Against::model(model)?),
        (None, Some(config)) => Some(Against::config(config)?),
        (None, None) => None,
    };
    let verdicts: Vec<Verdict> = args
        .adapters
        .iter()
        .map(|dir| Verdict::of(dir, against.as_ref()))
        .collect();
    if json {
        super::print_json(&verdicts)?;
    } else {
        verdicts.iter().for_each(print);
    }
    let invalid = verdicts.iter().filter(|verdict| !verdict.valid).count();
    if invalid > 0 {
        bail!("{invalid} of {} adapter folders not valid", verdicts.len());
    }
    Ok(())
}

fn print(verdict: &Verdict) {
    let folder = verdict.folder.display();
    match (verdict.valid, verdict.warnings.len()) {
        (false, _) => println!(
            "{folder}: NOT VALID, {}",
            counted(grouped(&verdict.problems).len(), "problem")
        ),
        (true, 0) => println!("{folder}: valid"),
        (true, count) => println!("{folder}: valid, {}", counted(count, "warning")),
    }
    if let Some(report) = &verdict.facts {
        println!("  {}", summary(report));
    }
    let lists = [
        ("problem", &verdict.problems),
        ("warning", &verdict.warnings),
        ("note", &verdict.notes),
    ];
    for (kind, lines) in lists {
        for line in grouped(lines) {
            println!("  {kind}: {line}");
        }
    }
}

fn counted(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}
