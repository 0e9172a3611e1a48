//! `peft diff`: how far apart two adapters are, computed from their factors.

mod print;

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use peft_core::file::read_folder;

use peft_run::diff::Difference;

/// What to compare.
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// Adapter folder, or a repository of the hub.
    pub a: PathBuf,
    /// Adapter folder to compare it with.
    pub b: PathBuf,
}

/// Runs the verb.
pub fn run(args: &DiffArgs, json: bool) -> Result<()> {
    let read =
        |dir: &PathBuf| read_folder(dir).with_context(|| format!("adapter {}", dir.display()));
    let (a, b) = (read(&args.a)?, read(&args.b)?);
    let difference = Difference::between((&args.a, &a), (&args.b, &b))?;
    if json {
        return super::print_json(&difference);
    }
    print::print(&difference);
    Ok(())
}
