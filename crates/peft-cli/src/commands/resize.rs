//! `peft resize`: a model folder with another number of tokens, for adapters that were trained with more or fewer.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use peft_run::resize::resize;

/// What to resize, and where to.
#[derive(Debug, Args)]
pub struct ResizeArgs {
    /// Folder of the model in the Hugging Face layout, or a repository of the hub.
    #[arg(long)]
    pub model: PathBuf,
    /// Number of tokens: rows of the word table, and outputs of a language model. Surplus ones are dropped, new ones are the mean of the old.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    tokens: u32,
    /// Model folder to write.
    #[arg(long)]
    out: PathBuf,
    /// Write into a directory that is not empty.
    #[arg(long)]
    overwrite: bool,
}

/// Runs the verb.
pub fn run(args: &ResizeArgs, json: bool) -> Result<()> {
    let result = resize(&args.model, args.tokens as usize, &args.out, args.overwrite)?;
    if json {
        return super::print_json(&result);
    }
    println!(
        "{}: {} tokens in place of {} ({})",
        result.out.display(),
        result.tokens,
        result.before,
        result.layers.join(", ")
    );
    Ok(())
}
