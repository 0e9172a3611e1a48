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

/// Number type of the written weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DtypeArg {
    /// 32 bits.
    F32,
    /// Brain float, 16 bits.
    Bf16,
    /// Half precision, 16 bits.
    F16,
    /// GGUF: blocks of 8 bits.
    #[value(name = "q8_0")]
    Q8_0,
    /// GGUF: blocks of 6 bits.
    #[value(name = "q6_k")]
    Q6K,
    /// GGUF: blocks of 5 bits.
    #[value(name = "q5_k")]
    Q5K,
    /// GGUF: blocks of 5 bits.
    #[value(name = "q5_1")]
    Q5_1,
    /// GGUF: blocks of 5 bits.
    #[value(name = "q5_0")]
    Q5_0,
    /// GGUF: blocks of 4 bits.
    #[value(name = "q4_k")]
    Q4K,
    /// GGUF: blocks of 4 bits.
    #[value(name = "q4_1")]
    Q4_1,
    /// GGUF: blocks of 4 bits.
    #[value(name = "q4_0")]
    Q4_0,
}

impl DtypeArg {
    fn in_gguf(self) -> GgmlType {
        match self {
            Self::F32 => GgmlType::F32,
            Self::Bf16 => GgmlType::BF16,
            Self::F16 => GgmlType::F16,
            Self::Q8_0 => GgmlType::Q8_0,
            Self::Q6K => GgmlType::Q6_K,
            Self::Q5K => GgmlType::Q5_K,
            Self::Q5_1 => GgmlType::Q5_1,
            Self::Q5_0 => GgmlType::Q5_0,
            Self::Q4K => GgmlType::Q4_K,
            Self::Q4_1 => GgmlType::Q4_1,
            Self::Q4_0 => GgmlType::Q4_0,
        }
    }

    /// The type in a folder of safetensors.
    fn in_folder(self) -> Result<FloatDtype> {
        match self {
            Self::F32 => Ok(FloatDtype::F32),
            Self::Bf16 => Ok(FloatDtype::Bf16),
            Self::F16 => Ok(FloatDtype::F16),
            packed => bail!(peft_run::Usage(format!(
                "--dtype {}: a folder of safetensors holds f32, bf16 or f16; give --format gguf for blocks",
                packed.in_gguf().name().to_lowercase()
            ))),
        }
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
    /// Number type of the written weights; when absent that of the base, in a GGUF file f16. Norms and biases of a GGUF file are f32, tables and
    /// the output layer have at least 8 bits.
    #[arg(long, value_enum)]
    dtype: Option<DtypeArg>,
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
        FormatArg::Gguf => Format::Gguf(args.dtype.unwrap_or(DtypeArg::F16).in_gguf()),
        FormatArg::Safetensors => {
            Format::Safetensors(args.dtype.map(DtypeArg::in_folder).transpose()?)
        }
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
