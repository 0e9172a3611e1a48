//! `peft validate`: whether adapter folders are whole, and whether they suit a model, with every problem in one report.

mod model;
mod reading;
mod summary;
mod verdict;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use peft_core::file::{AdapterFolder, FileError};
use peft_models::ModelConfig;

use super::inspect::report::Report;

use model::ModelSites;
use reading::Base;
use verdict::Verdict;

/// What adapters are checked against.
#[derive(Debug)]
enum Model {
    /// A model with its weights.
    Folder(Box<Base>),
    /// The layers that a configuration describes.
    Config(ModelSites),
}

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
    let model = model(args)?;
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

/// What is wrong with a folder by itself, and the facts, where there are such.
pub(super) fn examined(
    dir: &Path,
    read: &Result<AdapterFolder, FileError>,
) -> (Vec<String>, Option<Report>) {
    let verdict = Verdict::of_read(dir, read, None);
    (verdict.problems, verdict.facts)
}

fn model(args: &ValidateArgs) -> Result<Option<Model>> {
    if let Some(dir) = &args.model {
        let config = ModelConfig::read(dir)?;
        return Ok(Some(match Base::new(dir)? {
            Some(base) => Model::Folder(Box::new(base)),
            None => Model::Config(ModelSites::of(config)?),
        }));
    }
    let Some(path) = &args.model_config else {
        return Ok(None);
    };
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the model configuration {}", path.display()))?;
    let config = ModelConfig::parse(path, &text)?;
    Ok(Some(Model::Config(ModelSites::of(config)?)))
}
