//! `peft resize`: a model folder with another number of tokens, for adapters that were trained with more or fewer.

use std::collections::HashSet;
use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use peft_core::values::named_tensors;
use peft_core::{Adaptable, param_id};
use peft_models::ModelConfig;
use peft_models::hf::save_model;
use serde::Serialize;

use peft_run::{any_model, device, open, out_folder};

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

/// What was done.
#[derive(Debug, Serialize)]
struct Resized {
    out: PathBuf,
    /// Tokens before.
    before: usize,
    /// Tokens now.
    tokens: usize,
    /// The layers that changed.
    layers: Vec<String>,
}

/// Runs the verb.
pub fn run(args: &ResizeArgs, json: bool) -> Result<()> {
    let tokens = args.tokens as usize;
    let config = ModelConfig::read(&args.model)?;
    let device = device::open("auto")?;
    let mut loaded = any_model::open(&args.model, None, None, 0, &device)?.loaded;
    let layers: Vec<String> = match loaded.model.tied() {
        Some(tied) => vec![tied.table],
        None => loaded.model.vocabulary_layers(),
    };
    if layers.is_empty() {
        bail!(peft_run::Usage(format!(
            "{} has no vocabulary",
            args.model.display()
        )));
    }
    let before = config.usize(open::VOCABULARY)?;
    let _claim = out_folder::claim(&args.out, args.overwrite, out_folder::OVERWRITE)?;
    loaded.model.resize_vocabulary(tokens);
    let ids: HashSet<_> = layers
        .iter()
        .flat_map(|path| ["weight", "bias"].map(|tensor| param_id(&format!("{path}.{tensor}"))))
        .collect();
    let tensors = named_tensors(&loaded.model, &loaded.names, |id| ids.contains(&id));
    let config = config.with_field(open::VOCABULARY, tokens.into());
    save_model(&args.model, &args.out, &config, &tensors, None)?;
    let result = Resized {
        out: args.out.clone(),
        before,
        tokens,
        layers,
    };
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
