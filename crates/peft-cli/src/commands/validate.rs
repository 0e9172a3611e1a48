//! `peft validate`: whether adapter folders are whole, and whether they suit a model, with every problem in one report.

mod model;
mod verdict;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use peft_models::ModelConfig;

use model::ModelSites;
use verdict::Verdict;

/// What to check.
#[derive(Debug, Args)]
pub struct ValidateArgs {
    /// Adapter folders, or repositories of the hub.
    #[arg(required = true)]
    pub adapters: Vec<PathBuf>,
    /// Folder of the base model, of which only config.json is read: also checks layers and their sizes.
    #[arg(long, conflicts_with = "model_config")]
    pub model: Option<PathBuf>,
    /// The base model's config.json, wherever it lies.
    #[arg(long)]
    model_config: Option<PathBuf>,
}

/// Runs the verb.
pub fn run(args: &ValidateArgs, json: bool) -> Result<()> {
    let model = model_config(args)?.map(ModelSites::of).transpose()?;
    let verdicts: Vec<Verdict> = args
        .adapters
        .iter()
        .map(|dir| Verdict::of(dir, model.as_ref()))
        .collect();
    if json {
        super::print_json(&verdicts)?;
    } else {
        verdicts.iter().for_each(Verdict::print);
    }
    let invalid = verdicts.iter().filter(|verdict| !verdict.valid).count();
    if invalid > 0 {
        bail!("{invalid} of {} adapter folders not valid", verdicts.len());
    }
    Ok(())
}

fn model_config(args: &ValidateArgs) -> Result<Option<ModelConfig>> {
    if let Some(dir) = &args.model {
        return Ok(Some(ModelConfig::read(dir)?));
    }
    let Some(path) = &args.model_config else {
        return Ok(None);
    };
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the model configuration {}", path.display()))?;
    Ok(Some(ModelConfig::parse(path, &text)?))
}
