//! `peft inspect`: what an adapter folder holds, with and without its base model.

pub(super) mod factors;
mod fit;
pub(super) mod kinds;
mod notes;
mod pair;
mod print;
pub(super) mod report;

use std::path::PathBuf;

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use peft_core::file::read_folder;
use peft_core::grouped;

use super::validate::examined;
use fit::Fit;
use report::Report;

use peft_run::run::expert_use;

/// Describes an adapter folder: what it configures, and for every layer its rank, scale, norms and effective ranks.
///
/// eff.rank is exp(H(p)) with p = sigma / sum(sigma): how many directions the update has, if all were equally strong.
/// stable is ||update||_F^2 / sigma_max^2. Both come from the factors; the update itself is never formed.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// Adapter folder, or a repository of the hub: adapter_config.json and adapter_model.safetensors or .bin.
    pub adapter: PathBuf,
    /// Folder of the base model: also says what is missing, unexpected or misshaped there.
    #[arg(long)]
    pub model: Option<PathBuf>,
}

/// Runs the verb.
pub fn run(args: &InspectArgs, json: bool) -> Result<()> {
    let read = read_folder(&args.adapter);
    let (found, report) = examined(&args.adapter, &read);
    let folder = read.map_err(|_| anyhow!(found.join("\n")))?;
    let mut report = report
        .map_or_else(|| Report::new(&args.adapter, &folder), Ok)
        .with_context(|| format!("adapter {}", args.adapter.display()))?;
    if let Some(model) = &args.model {
        report.fit = Some(Fit::check(model, &args.adapter, &folder, &report)?);
    }
    report.experts = expert_use::read(&args.adapter)?;
    if json {
        super::print_json(&report)?;
    } else {
        print::print(&report);
    }
    // An adapter of another kind is whole, though nothing here reads it.
    if report.method.is_some() && !found.is_empty() {
        bail!(
            "{}: not valid: {}",
            args.adapter.display(),
            grouped(&found).join("; ")
        );
    }
    Ok(())
}
