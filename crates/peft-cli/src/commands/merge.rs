//! `peft merge`: a model folder with an adapter folded into its weights.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueEnum};
use peft_models::hf::FloatDtype;

use peft_run::merge::{Merging, merge_folder};
use peft_run::{device, out_folder};

/// Number type of the written weights.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum DtypeArg {
    /// 32 bits.
    F32,
    /// Brain float, 16 bits.
    Bf16,
    /// Half precision, 16 bits.
    F16,
}

/// What to merge, and where to.
#[derive(Debug, Args)]
pub struct MergeArgs {
    /// Folder of the base model in the Hugging Face layout.
    #[arg(long)]
    pub model: PathBuf,
    /// Adapter folder, or a repository of the hub.
    #[arg(long)]
    pub adapter: PathBuf,
    /// Folder whose tokenizer, chat template and generation settings the merged model gets; otherwise those beside the adapter, where it
    /// has some, or else the model's.
    #[arg(long, value_name = "FOLDER")]
    pub tokenizer: Option<PathBuf>,
    /// Model folder to write.
    #[arg(long)]
    out: PathBuf,
    /// Number type of the written weights; that of the base when absent.
    #[arg(long, value_enum)]
    dtype: Option<DtypeArg>,
    /// Largest difference between the outputs of the merged model and of base and adapter, relative to the largest output, up to which the
    /// model is written; by default 1e-3 for f32, 2e-2 for f16, 1e-1 for bf16.
    #[arg(long)]
    tolerance: Option<f32>,
    /// Write into a directory that is not empty.
    #[arg(long)]
    overwrite: bool,
    /// auto, flex, ndarray, wgpu, vulkan, metal or cuda (cuda:1 for the second).
    #[arg(long, default_value = "auto")]
    device: String,
}

/// Runs the verb.
pub fn run(args: &MergeArgs, json: bool) -> Result<()> {
    let _claim = out_folder::claim(&args.out, args.overwrite, out_folder::OVERWRITE)?;
    let device = device::open(&args.device)?;
    let result = merge_folder(&Merging {
        model: &args.model,
        adapter: &args.adapter,
        tokenizer: args.tokenizer.as_deref(),
        out: &args.out,
        dtype: args.dtype.map(|dtype| match dtype {
            DtypeArg::F32 => FloatDtype::F32,
            DtypeArg::Bf16 => FloatDtype::Bf16,
            DtypeArg::F16 => FloatDtype::F16,
        }),
        tolerance: args.tolerance,
        device: &device,
    })?;
    if result.largest_output_difference > result.effect / 2.0 && result.effect > 0.0 {
        eprintln!(
            "warning: the adapter changes outputs by {:.1e}, rounding by {:.1e}: most of the tuning is lost in this number type",
            result.effect, result.largest_output_difference
        );
    }
    if json {
        return super::print_json(&result);
    }
    println!(
        "{} layers merged into {}",
        result.sites.len(),
        result.out.display()
    );
    if result.untied {
        println!("the output layer has a weight of its own now (tie_word_embeddings is false)");
    }
    println!("largest change of a weight: {:.3e}", result.largest_change);
    println!(
        "largest difference of the merged model's outputs: {:.3e} of the largest output; the adapter's effect: {:.3e}",
        result.largest_output_difference, result.effect
    );
    Ok(())
}
