//! `peft prune`: which layers of a LoRA matter, and a plan by which the others share one pair (LoRA-drop).

mod print;

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use peft_prune::{Budget, Plan, Scope, ScoreKind, scored};
use serde::Serialize;

use crate::flags::ReadArgs;
use crate::picture::plan_map;
use peft_run::importance::{Measuring, measure};
use peft_run::run::lora_drop;
use peft_run::settings::check_sample;

/// By what layers are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ScoreArg {
    /// Squared norm of what the adapter adds to the layer's output, over the tokens of the sample.
    Output,
    /// The norm instead of its square.
    OutputL2,
    /// Norm of the update itself; needs no data.
    Parameters,
    /// Squared norm of the gradient on the sample.
    Gradient,
    /// At random, from --seed; needs no data.
    Random,
}

/// What importance is shared out among.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum ScopeArg {
    /// The layers of one type.
    PerType,
    /// All layers.
    Global,
}

/// What to measure, and how much to keep.
#[derive(Debug, Args)]
pub struct PruneArgs {
    /// Folder of the base model in the Hugging Face layout, or a repository of the hub: OWNER/NAME or OWNER/NAME@REVISION.
    #[arg(long)]
    pub model: PathBuf,
    /// Rounds the frozen weights as they are read: a format as `peft train --quantize` takes it; absent: as the files have them.
    #[arg(long, value_name = "FORMAT")]
    quantize: Option<peft_models::Storage>,
    /// Adapter folder of a LoRA or rsLoRA that was trained for a while, or a repository of the hub.
    #[arg(long)]
    pub adapter: PathBuf,
    /// Data file, for the scores that need one: CSV, TSV, JSONL, JSON or Parquet, also packed (.gz); for a model of images a folder, a table of pixels or idx.
    #[arg(long)]
    data: Option<PathBuf>,
    #[command(flatten)]
    read: ReadArgs,
    /// By what layers are compared.
    #[arg(long, value_enum, default_value = "output")]
    score: ScoreArg,
    /// What importance is shared out among.
    #[arg(long, value_enum, default_value = "per-type")]
    scope: ScopeArg,
    /// Keep the most important layers until their importance adds up to this; several are compared, comma-separated.
    #[arg(long, value_delimiter = ',')]
    threshold: Vec<f64>,
    /// Keep as many layers as fit into this share of the parameters: 0.5 or 50%; several are compared, comma-separated.
    #[arg(long, value_delimiter = ',', value_parser = share)]
    keep: Vec<f64>,
    /// Share of the data to measure on, the same of each label.
    #[arg(long, default_value_t = 0.1)]
    sample: f64,
    /// Seed of the sample and of random scores.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Plan file (JSON) to write, with a picture beside it (SVG and PNG); takes exactly one threshold or share.
    #[arg(long)]
    out: Option<PathBuf>,
    /// auto, flex, ndarray, wgpu, vulkan, metal or cuda (cuda:1 for the second).
    #[arg(long, default_value = "auto")]
    device: String,
}

/// A share: `0.5` or `50%`.
fn share(text: &str) -> Result<f64, String> {
    let (number, unit) = match text.strip_suffix('%') {
        Some(number) => (number, 0.01),
        None => (text, 1.0),
    };
    let number: f64 = number
        .trim()
        .parse()
        .map_err(|_| format!("expected 0.5 or 50%, found `{text}`"))?;
    Ok(number * unit)
}

/// What was found.
#[derive(Debug, Serialize)]
struct PruneResult<'a> {
    examples: usize,
    seconds: f64,
    plans: &'a [Plan],
    #[serde(skip_serializing_if = "Option::is_none")]
    out: Option<&'a PathBuf>,
}

/// Runs the verb.
pub fn run(args: &PruneArgs, json: bool) -> Result<()> {
    let budgets = budgets(args)?;
    let score = match args.score {
        ScoreArg::Output => ScoreKind::Output,
        ScoreArg::OutputL2 => ScoreKind::OutputL2,
        ScoreArg::Parameters => ScoreKind::Parameters,
        ScoreArg::Gradient => ScoreKind::Gradient,
        ScoreArg::Random => ScoreKind::Random,
    };
    let scope = match args.scope {
        ScopeArg::PerType => Scope::PerType,
        ScopeArg::Global => Scope::Global,
    };
    let measured = measure(&Measuring {
        score,
        model: args.model.clone(),
        quantize: args.quantize,
        adapter: args.adapter.clone(),
        data: args.data.clone(),
        read: args.read.config().with_columns_of_run([&args.adapter]),
        batch_size: args.read.batch_size,
        sample: args.sample,
        seed: args.seed,
        device: args.device.clone(),
    })?;
    let scores = scored(&measured.sites, &measured.scores);
    let plan = |budget: &Budget| Plan::make(&scores, score, scope, *budget, measured.scaling);
    let plans = budgets.iter().map(plan).collect::<Result<Vec<_>, _>>()?;
    plans.iter().for_each(lora_drop::warn_of);
    if let (Some(out), [plan]) = (&args.out, plans.as_slice()) {
        plan.write(out)?;
        plan_map::map(plan).draw(out)?;
    }
    if json {
        return super::print_json(&PruneResult {
            examples: measured.examples,
            seconds: measured.seconds,
            plans: &plans,
            out: args.out.as_ref(),
        });
    }
    print::print(&measured, &plans);
    if let Some(out) = &args.out {
        println!(
            "plan written to {}, picture beside it; train with `peft train --plan {}`",
            out.display(),
            out.display()
        );
    }
    Ok(())
}

/// What was asked to be kept; a threshold of 0.9 where nothing was.
fn budgets(args: &PruneArgs) -> Result<Vec<Budget>> {
    let thresholds = args
        .threshold
        .iter()
        .map(|threshold| Budget::Threshold(*threshold));
    let shares = args.keep.iter().map(|share| Budget::Parameters(*share));
    let mut budgets: Vec<Budget> = thresholds.chain(shares).collect();
    if budgets.is_empty() {
        budgets.push(Budget::Threshold(0.9));
    }
    if args.out.is_some() && budgets.len() > 1 {
        bail!(peft_run::Error::Usage(
            "--out writes one plan; choose one --threshold or --keep".into()
        ));
    }
    for Budget::Threshold(share) | Budget::Parameters(share) in &budgets {
        if !(0.0..=1.0).contains(share) {
            bail!(peft_run::Error::Usage(format!(
                "--threshold, --keep: expected a share from 0 to 1, found {share}"
            )));
        }
    }
    let json = args
        .out
        .as_ref()
        .is_none_or(|out| out.extension().is_some_and(|end| end == "json"));
    if !json {
        bail!(peft_run::Error::Usage(
            "--out: expected a name that ends in .json; the pictures lie beside it".into()
        ));
    }
    check_sample("--sample", args.sample)?;
    Ok(budgets)
}
