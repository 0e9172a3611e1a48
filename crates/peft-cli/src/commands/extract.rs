//! `peft extract`: what fine-tuning did to a model, as a LoRA of its base.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use indexmap::IndexMap;
use peft_core::target::TargetRules;
use peft_recycle::{Components, ExtractOptions, Extracted, extract};
use serde::Serialize;

use crate::run_config::Names;

/// Two models, and how much of their difference to keep.
#[derive(Debug, Args)]
pub struct ExtractArgs {
    /// Folder of the base model in the Hugging Face layout, or a repository of the hub.
    #[arg(long)]
    pub base: PathBuf,
    /// Folder of the fine-tuned model, or a repository of the hub.
    #[arg(long)]
    pub tuned: PathBuf,
    /// Rank of every layer.
    #[arg(long, default_value_t = 16)]
    rank: usize,
    /// As small a rank as reaches this share of the squared singular values, layer by layer, instead.
    #[arg(long, conflicts_with = "rank")]
    energy: Option<f64>,
    /// Module names, comma-separated; or all-linear; or /regex/.
    #[arg(long, default_value = "all-linear")]
    targets: String,
    /// The files hold weights as [d_in, d_out], as those of GPT-2 do.
    #[arg(long)]
    fan_in_fan_out: bool,
    /// Adapter folder to write.
    #[arg(long)]
    out: PathBuf,
}

/// What was extracted.
#[derive(Debug, Serialize)]
struct ExtractResult {
    out: PathBuf,
    /// `||D - B A||_F / ||D||_F` over all layers, D the difference of the weights.
    error: f64,
    sites: IndexMap<String, SiteResult>,
    /// Tensors that changed and are not in the adapter, with how much.
    left_out: IndexMap<String, f64>,
    /// Tensors that one model lacks or that have other shapes there.
    not_compared: Vec<String>,
}

#[derive(Debug, Serialize)]
struct SiteResult {
    rank: usize,
    full_rank: usize,
    error: f64,
}

/// Runs the verb.
///
/// # Errors
/// What is wrong with a model, or the disk.
pub fn run(args: &ExtractArgs, json: bool) -> Result<()> {
    let components = args
        .energy
        .map_or(Components::Fixed(args.rank), Components::Variance);
    let options = ExtractOptions {
        target: TargetRules::new(Names::of_flag(&args.targets).target()),
        fan_in_fan_out: args.fan_in_fan_out,
        ..ExtractOptions::new(components)
    };
    let extracted = extract(&args.base, &args.tuned, &options, &args.out)?;
    let result = ExtractResult::of(&extracted, &args.out);
    if json {
        return super::print_json(&result);
    }
    for (path, site) in &result.sites {
        println!(
            "{path}: rank {} of {}, lost {:.3e}",
            site.rank, site.full_rank, site.error
        );
    }
    for (name, change) in &result.left_out {
        println!("not in the adapter: {name}, changed by {change:.3e}");
    }
    for name in &result.not_compared {
        println!("not compared: {name}");
    }
    println!(
        "lost of the difference, relative: {:.3e}; written to {}",
        result.error,
        result.out.display()
    );
    Ok(())
}

impl ExtractResult {
    fn of(extracted: &Extracted, out: &Path) -> Self {
        let sites = extracted.sites.iter().map(|(path, site)| {
            let result = SiteResult {
                rank: site.rank,
                full_rank: site.full_rank,
                error: site.error.relative(),
            };
            (path.clone(), result)
        });
        let left_out = extracted.left_out.iter();
        Self {
            out: out.to_owned(),
            error: extracted.error.relative(),
            sites: sites.collect(),
            left_out: left_out
                .map(|tensor| (tensor.name.clone(), tensor.change.relative()))
                .collect(),
            not_compared: extracted.not_compared.clone(),
        }
    }
}
