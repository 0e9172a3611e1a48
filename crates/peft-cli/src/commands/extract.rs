//! `peft extract`: what fine-tuning did to a model, as a LoRA of its base.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::Args;
use indexmap::IndexMap;
use peft_core::target::TargetRules;
use peft_models::{ModelConfig, stores_transposed};
use peft_recycle::{Components, ExtractOptions, Extracted, extract};
use serde::Serialize;

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

/// What was extracted.
#[derive(Debug, Serialize)]
struct ExtractResult {
    out: PathBuf,
    /// `||D - B A||_F / ||D||_F` over everything that was compared, D the difference of the models; what is left out is lost whole.
    error: f64,
    /// The same over the layers of the adapter.
    error_of_layers: f64,
    sites: IndexMap<String, SiteResult>,
    /// Tensors that changed and are not in the adapter, with how much.
    left_out: IndexMap<String, LeftOutResult>,
    /// Tensors that one model lacks or that have other shapes there.
    not_compared: Vec<String>,
}

#[derive(Debug, Serialize)]
struct SiteResult {
    rank: usize,
    full_rank: usize,
    error: f64,
}

/// A tensor that changed and is not in the adapter.
#[derive(Debug, Serialize)]
struct LeftOutResult {
    shape: Vec<usize>,
    /// Norm of its change.
    norm: f64,
    /// The same over the norm of the base's tensor.
    relative: f64,
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
        fan_in_fan_out: transposed(args)?,
        ..ExtractOptions::new(components)
    };
    let extracted = extract(&args.base, &args.tuned, &options, &args.out)?;
    for entry in &extracted.unmatched {
        eprintln!("warning: {entry}");
    }
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

/// Whether the base's files hold weights as `[d_in, d_out]`: as its configuration says, or else as the flag does.
fn transposed(args: &ExtractArgs) -> Result<bool> {
    if !args.base.join("config.json").is_file() {
        eprintln!(
            "warning: {} has no config.json: weights are taken as {}",
            args.base.display(),
            if args.fan_in_fan_out {
                "[d_in, d_out]"
            } else {
                "[d_out, d_in]; give --fan-in-fan-out for a GPT-2"
            }
        );
        return Ok(args.fan_in_fan_out);
    }
    let config = ModelConfig::read(&args.base)?;
    match stores_transposed(config.model_type()) {
        None => Ok(args.fan_in_fan_out),
        Some(false) if args.fan_in_fan_out => bail!(peft_run::Usage(format!(
            "--fan-in-fan-out: the weights of a `{}` are [d_out, d_in]; leave the flag away",
            config.model_type()
        ))),
        Some(known) => Ok(known),
    }
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
            error: extracted.whole.relative(),
            error_of_layers: extracted.error.relative(),
            sites: sites.collect(),
            left_out: left_out
                .map(|tensor| {
                    let lost = LeftOutResult {
                        shape: tensor.shape.clone(),
                        norm: tensor.change.squared_error.sqrt(),
                        relative: tensor.change.relative(),
                    };
                    (tensor.name.clone(), lost)
                })
                .collect(),
            not_compared: extracted.not_compared.clone(),
        }
    }
}
