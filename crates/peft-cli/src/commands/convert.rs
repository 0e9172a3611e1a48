//! `peft convert`: an adapter folder of any method as one that Hugging Face PEFT reads; files of llama.cpp; and folders of mlx-lm, both ways.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use peft_run::convert::gguf::{GgufResult, to_gguf};
use peft_run::convert::mlx::{self, MlxResult};
use peft_run::convert::{Converting, Names, to_peft};

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
    /// llama.cpp and Ollama: a GGUF file with the adapter alone, used beside a GGUF file of the base.
    Gguf,
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
    /// Adapter folder to write; for gguf a file.
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

/// Runs the verb.
pub fn run(args: &ConvertArgs, json: bool) -> Result<()> {
    if let FormatArg::Mlx = args.to {
        return show(&mlx::from_peft(&args.adapter, &args.out)?, json);
    }
    if mlx::is_mlx(&args.adapter) {
        if let FormatArg::Gguf = args.to {
            bail!(peft_run::Error::Usage(format!(
                "{} is a folder of mlx-lm: convert it with --to peft first, and the folder that this writes with --to gguf",
                args.adapter.display()
            )));
        }
        return show(&mlx::to_peft(&args.adapter, &args.out)?, json);
    }
    let Some(model) = &args.model else {
        bail!(peft_run::Error::Usage(
            "give the adapter's base with --model: what its layers are decides the conversion"
                .into()
        ));
    };
    let asked = Converting {
        model,
        adapter: &args.adapter,
        out: &args.out,
        names: match args.to {
            FormatArg::PeftTransformers5 => Names::Transformers5,
            _ => Names::File,
        },
        rank: args.rank.map(|rank| rank as usize),
        overwrite: args.overwrite,
        device: &args.device,
    };
    if let FormatArg::Gguf = args.to {
        return show_gguf(&to_gguf(&asked)?, json);
    }
    let result = to_peft(&asked)?;
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

fn show_gguf(result: &GgufResult, json: bool) -> Result<()> {
    if json {
        return super::print_json(result);
    }
    println!(
        "LoRA of alpha {} at {} modules, written to {}",
        result.alpha,
        result.modules,
        result.out.display()
    );
    if result.scaled > 0 {
        println!(
            "note: B of {} modules holds what their scale is beside alpha / rank",
            result.scaled
        );
    }
    if result.largest_error > 0.0 {
        println!(
            "largest error: {:.3e} of the norm of the update",
            result.largest_error
        );
    }
    Ok(())
}

fn show(result: &MlxResult, json: bool) -> Result<()> {
    if json {
        return super::print_json(result);
    }
    let kind = if result.dora { "DoRA" } else { "LoRA" };
    println!(
        "{kind} of rank {} and scale {} at {} modules, written to {}",
        result.rank,
        result.scale,
        result.modules,
        result.out.display()
    );
    for note in &result.notes {
        println!("note: {note}");
    }
    Ok(())
}
