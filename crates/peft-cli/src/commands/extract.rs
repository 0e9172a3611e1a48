//! `peft extract`: what fine-tuning did to a model, as a LoRA of its base.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use peft_recycle::Components;
use peft_run::extract::{ExtractResult, Extracting};
use peft_run::settings::Names;

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
    /// The files hold weights as [d_in, d_out]; needed only for models that are not known here, as config.json tells it of GPT-2 and its
    /// like.
    #[arg(long)]
    fan_in_fan_out: bool,
    /// Adapter folder to write.
    #[arg(long)]
    out: PathBuf,
}

/// Runs the verb.
///
/// # Errors
/// What is wrong with a model, or the disk.
pub fn run(args: &ExtractArgs, json: bool) -> Result<()> {
    let result = ExtractResult::of(&Extracting {
        base: &args.base,
        tuned: &args.tuned,
        components: (args.energy).map_or(Components::Fixed(args.rank), Components::Variance),
        targets: Names::of_flag(&args.targets),
        fan_in_fan_out: args.fan_in_fan_out,
        out: &args.out,
    })?;
    if json {
        return super::print_json(&result);
    }
    for (path, site) in &result.sites {
        println!(
            "{path}: rank {} of {}, lost {:.3e}",
            site.rank, site.full_rank, site.error
        );
    }
    for (name, lost) in &result.left_out {
        println!(
            "lost: {name} {:?}, norm of its change {:.3e}, relative {:.3e}: not in the adapter",
            lost.shape, lost.norm, lost.relative
        );
    }
    for name in &result.not_compared {
        println!("not compared and not in the adapter: {name}");
    }
    println!(
        "lost of the difference, relative: {:.3e} of all, {:.3e} of the layers in the adapter; written to {}",
        result.error,
        result.error_of_layers,
        result.out.display()
    );
    Ok(())
}
