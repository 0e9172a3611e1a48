//! `peft convert`: an adapter folder of any method as one that Hugging Face PEFT reads; and folders of mlx-lm, both ways.

mod mlx;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use burn::tensor::Device;
use clap::{Args, ValueEnum};
use peft_core::export::{Exported, ExportedSite, to_lora};
use peft_core::file::write_atomic;
use peft_core::folder;
use serde::Serialize;

use peft_run::adapter_arg::AdapterArg;
use peft_run::companions::carry_all;
use peft_run::open::Added;
use peft_run::run::LABELS_FILE;
use peft_run::{any_model, device, open, out_folder};

/// Value of `peft_type` of the methods that PEFT reads as they are: LoRA, rsLoRA, DoRA, and PiSSA and OLoRA in their stored form.
const LORA: &str = "LORA";

/// What an adapter can be converted to.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum FormatArg {
    /// Hugging Face PEFT: methods it knows as they are, others as a plain LoRA; from a folder of mlx-lm, what that says.
    Peft,
    /// The same with the names that `transformers` 5 gives to layers: those of a vision transformer are not the names in its file, and
    /// Hugging Face PEFT goes by names. Other models have the same names in both.
    PeftTransformers5,
    /// mlx-lm: LoRA and DoRA of Hugging Face PEFT.
    Mlx,
}

/// What to convert, and where to.
#[derive(Debug, Args)]
pub struct ConvertArgs {
    /// Adapter folder, or a repository of the hub.
    pub adapter: PathBuf,
    /// Folder of the base model in the Hugging Face layout; folders of mlx-lm are converted without.
    #[arg(long)]
    pub model: Option<PathBuf>,
    /// What to write.
    #[arg(long, value_enum)]
    to: FormatArg,
    /// Adapter folder to write.
    #[arg(long)]
    out: PathBuf,
    /// Cut every update to this rank, with its error printed; needed where a method has no exact low-rank form.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    rank: Option<u32>,
    /// Write into a directory that is not empty.
    #[arg(long)]
    overwrite: bool,
    /// auto, flex, ndarray, wgpu, vulkan, metal or cuda (cuda:1 for the second).
    #[arg(long, default_value = "auto")]
    device: String,
}

/// What a conversion did.
#[derive(Debug, Serialize)]
pub struct ConvertResult {
    /// Folder that was written.
    pub out: PathBuf,
    /// Method of the folder that was read.
    pub from: &'static str,
    /// Method of the folder that was written.
    pub to: &'static str,
    /// Each layer that became a plain LoRA; empty where the method stayed.
    pub sites: Vec<ExportedSite>,
    /// Largest `||W' - W - A B||_F / ||W' - W||_F` of a layer.
    pub largest_error: f64,
}

/// Runs the verb.
pub fn run(args: &ConvertArgs, json: bool) -> Result<()> {
    if let FormatArg::Mlx = args.to {
        return mlx::from_peft(&args.adapter, &args.out)?.show(json);
    }
    if mlx::is_mlx(&args.adapter) {
        return mlx::to_peft(&args.adapter, &args.out)?.show(json);
    }
    let Some(model) = &args.model else {
        bail!(peft_run::Usage(
            "give the adapter's base with --model: what its layers are decides the conversion"
                .into()
        ));
    };
    let _claim = out_folder::claim(&args.out, args.overwrite, out_folder::OVERWRITE)?;
    let device = device::open(&args.device)?;
    let result = to_peft(model, args, &device)?;
    if json {
        return super::print_json(&result);
    }
    println!(
        "{} written as {} to {}",
        result.from,
        result.to,
        result.out.display()
    );
    for site in &result.sites {
        println!(
            "{}: rank {}, error {:.3e}",
            site.path, site.rank, site.error
        );
    }
    if !result.sites.is_empty() {
        println!(
            "largest error: {:.3e} of the norm of the update",
            result.largest_error
        );
    }
    Ok(())
}

/// Writes an adapter folder of `model` as a folder of PEFT.
fn to_peft(model: &Path, args: &ConvertArgs, device: &Device) -> Result<ConvertResult> {
    let (adapter, out) = (AdapterArg::only(&args.adapter), args.out.as_path());
    let rank = args.rank.map(|rank| rank as usize);
    let head = open::labels_in_adapter(model, &adapter.dir)?;
    let loaded = any_model::open(model, head, None, 0, device)?.loaded;
    let (loaded, Added { spec, .. }) = open::add(loaded, &adapter)?;
    let names = loaded.names;
    let from = spec.method.entry().id;
    let known = spec
        .method
        .config_fields()
        .get("peft_type")
        .is_some_and(|kind| kind == LORA);
    let mut exported = if known && rank.is_none() {
        Exported {
            model: loaded.model,
            spec,
            sites: Vec::new(),
        }
    } else {
        to_lora(loaded.model, &adapter.name, &spec, rank)?
    };
    exported.spec.naming.other = matches!(args.to, FormatArg::PeftTransformers5);
    folder::save(&exported.model, &names, &adapter.name, &exported.spec, out)?;
    carry_all(&adapter.dir, out)?;
    let labels = adapter.dir.join(LABELS_FILE);
    if labels.exists() {
        let text =
            std::fs::read(&labels).with_context(|| format!("cannot read {}", labels.display()))?;
        write_atomic(&out.join(LABELS_FILE), &text)?;
    }
    let errors = exported.sites.iter().map(|site| site.error);
    Ok(ConvertResult {
        out: out.to_path_buf(),
        from,
        to: exported.spec.method.entry().id,
        largest_error: errors.fold(0.0, f64::max),
        sites: exported.sites,
    })
}
