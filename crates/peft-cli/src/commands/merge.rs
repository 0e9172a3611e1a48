//! `peft merge`: a model folder with an adapter folded into its weights.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use peft_gguf::GgmlType;
use peft_models::hf::FloatDtype;

use peft_run::merge::{Format, Merging, merge_folder};
use peft_run::{device, out_folder};

/// What a merged model is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FormatArg {
    /// A model folder of safetensors.
    Safetensors,
    /// A folder with model.gguf for llama.cpp, and a Modelfile for Ollama.
    Gguf,
}

/// A number type by its name.
///
/// # Errors
/// When there is none, or none that is written.
fn dtype(name: &str) -> Result<GgmlType, String> {
    let found = GgmlType::from_name(name).filter(|kind| kind.can_quantise());
    found.ok_or_else(|| {
        let known = GgmlType::all().filter(|kind| kind.can_quantise());
        let known: Vec<String> = known.map(|kind| kind.name().to_lowercase()).collect();
        format!("expected one of {}", known.join(", "))
    })
}

/// The type in a folder of safetensors.
fn in_folder(dtype: GgmlType) -> Result<FloatDtype> {
    match dtype {
        GgmlType::F32 => Ok(FloatDtype::F32),
        GgmlType::BF16 => Ok(FloatDtype::Bf16),
        GgmlType::F16 => Ok(FloatDtype::F16),
        packed => bail!(peft_run::Error::Usage(format!(
            "--dtype {}: a folder of safetensors holds f32, bf16 or f16; give --format gguf for blocks",
            packed.name().to_lowercase()
        ))),
    }
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
    /// Folder to write.
    #[arg(long)]
    out: PathBuf,
    /// What is written into it.
    #[arg(long, value_enum, default_value = "safetensors")]
    format: FormatArg,
    /// Number type of the written weights: f32, bf16 or f16, in a GGUF file also q8_0, q6_k, q5_k, q5_1, q5_0, q4_k, q4_1 or q4_0; when absent
    /// that of the base, in a GGUF file f16. Norms and biases of a GGUF file are f32, tables and
    /// the output layer have at least 8 bits.
    #[arg(long, value_parser = dtype)]
    dtype: Option<GgmlType>,
    /// Largest difference between the outputs of the merged model and of base and adapter, relative to the largest output, up to which the
    /// model is written; by default 1e-3 for f32, 2e-2 for f16, 1e-1 for bf16, 1 for blocks.
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
    let format = match args.format {
        FormatArg::Gguf => Format::Gguf(args.dtype.unwrap_or(GgmlType::F16)),
        FormatArg::Safetensors => Format::Safetensors(args.dtype.map(in_folder).transpose()?),
    };
    let _claim = out_folder::claim(&args.out, args.overwrite, out_folder::OVERWRITE)?;
    let device = device::open(&args.device)?;
    let result = merge_folder(&Merging {
        model: &args.model,
        adapter: &args.adapter,
        tokenizer: args.tokenizer.as_deref(),
        out: &args.out,
        format,
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
