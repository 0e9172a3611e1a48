//! `peft inspect`: what an adapter folder holds, with and without its base model.

mod print;

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use peft_core::grouped;
use peft_run::inspect::inspect;

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
    let (report, found) = inspect(&args.adapter, args.model.as_deref())?;
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
