//! `peft inspect`: what an adapter folder holds, with and without its base model.

pub(super) mod factors;
mod fit;
mod notes;
mod print;
pub(super) mod report;

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use peft_core::file::read_folder;

use fit::Fit;
use report::Report;

/// What to describe.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// Adapter folder: adapter_config.json and adapter_model.safetensors or .bin.
    adapter: PathBuf,
    /// Folder of the base model: also says what is missing, unexpected or misshaped there.
    #[arg(long)]
    model: Option<PathBuf>,
}

/// Runs the verb.
pub fn run(args: &InspectArgs, json: bool) -> Result<()> {
    let folder = read_folder(&args.adapter)?;
    let mut report = Report::new(&args.adapter, &folder)
        .with_context(|| format!("adapter {}", args.adapter.display()))?;
    if let Some(model) = &args.model {
        report.fit = Some(Fit::check(model, &args.adapter, &folder, &report)?);
    }
    if json {
        return super::print_json(&report);
    }
    print::print(&report);
    Ok(())
}
