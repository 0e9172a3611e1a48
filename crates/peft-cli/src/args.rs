//! The command line: verbs and their flags.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::commands::{
    bench, combine, convert, data, diff, eval, extract, generate, init, inspect, merge, plot,
    predict, prune, quickstart, recycle, resize, targets, train, validate,
};
use peft_run::adapter_arg::AdapterArg;
use peft_run::answerer::Answerer;
use peft_run::hub;

/// Fine-tunes, inspects and merges adapters, without Python.
#[derive(Debug, Parser)]
#[command(name = "peft", version, about, max_term_width = 100)]
pub struct Cli {
    /// Print one JSON value on stdout instead of text.
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Fine-tune a bundled tiny model in under a minute: LoRA against head-only and full fine-tuning.
    Quickstart(quickstart::QuickstartArgs),
    /// Print a commented run file.
    Init(init::InitArgs),
    /// List the methods, their options and their papers.
    Methods,
    /// List the devices that this binary can compute on.
    Devices,
    /// Print what a bug report needs: version, devices, processors, memory.
    Env,
    /// Dry run: which modules would be adapted, how many parameters, how much memory.
    Targets(targets::TargetsArgs),
    /// Account for the data of a run without training: what is read, dropped, cut and learnt; and show rows as the model sees them.
    Data(data::DataVerbArgs),
    /// Train an adapter, the head alone or the full model.
    Train(train::TrainArgs),
    /// Score a model, with or without an adapter, on a data file.
    Eval(eval::EvalArgs),
    /// Write the answers of a model to a JSONL file: index, label, logits.
    Predict(predict::PredictArgs),
    /// Continue prompts with a language model.
    Generate(generate::GenerateArgs),
    /// Fold an adapter into the weights of its model.
    Merge(merge::MergeArgs),
    /// Write a model with another number of tokens.
    Resize(resize::ResizeArgs),
    /// Write an adapter folder anew as one that Hugging Face PEFT reads, or mlx-lm.
    Convert(convert::ConvertArgs),
    /// Describe an adapter folder: rank, scale, norms, effective ranks, parameters.
    Inspect(inspect::InspectArgs),
    /// Check adapter folders, alone or against a model: every problem in one report.
    Validate(validate::ValidateArgs),
    /// Compare two adapter folders: configuration, and the update of each layer.
    Diff(diff::DiffArgs),
    /// Say which layers of a LoRA matter, and plan which of them share one pair (LoRA-drop).
    Prune(prune::PruneArgs),
    /// Make a LoRA of what fine-tuning did to a model.
    Extract(extract::ExtractArgs),
    /// Make one LoRA of several adapters, each with a weight.
    Combine(combine::CombineArgs),
    /// Keep what adapters have in common once, and each as its coordinates in it (EigenLoRAx).
    Recycle(recycle::RecycleArgs),
    /// Draw the curves of a run directory as SVG and PNG.
    Plot(plot::PlotArgs),
    /// Time a training step and a forward pass, and measure their memory, on made-up tokens.
    Bench(bench::BenchArgs),
}

/// A model with an optional adapter, and where to compute.
#[derive(Debug, Args)]
pub struct ModelArgs {
    /// Folder of the base model in the Hugging Face layout, or a repository of the hub: OWNER/NAME or OWNER/NAME@REVISION.
    #[arg(long)]
    pub model: PathBuf,
    /// Adapter folder (or repository), or NAME=FOLDER; once per adapter.
    #[arg(long)]
    pub adapter: Vec<AdapterArg>,
    /// Folder whose tokenizer, chat template, generation settings and image processor are used; otherwise those beside the adapter, where
    /// it has some, or else the model's.
    #[arg(long, value_name = "FOLDER")]
    pub tokenizer: Option<PathBuf>,
    /// auto, flex, ndarray, wgpu, vulkan, metal or cuda (cuda:1 for the second).
    #[arg(long, default_value = "auto")]
    pub device: String,
}

impl ModelArgs {
    /// The same for the library.
    pub fn answerer(&self) -> Answerer {
        Answerer {
            model: self.model.clone(),
            adapters: self.adapter.clone(),
            tokenizer: self.tokenizer.clone(),
            device: self.device.clone(),
        }
    }

    /// Every path that may be a repository.
    fn folders(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let adapters = self.adapter.iter_mut().map(|adapter| &mut adapter.dir);
        (std::iter::once(&mut self.model).chain(adapters)).chain(&mut self.tokenizer)
    }
}

impl Verb {
    /// Fetches what is named by a repository of the hub instead of a folder; a run does so for its own settings.
    ///
    /// # Errors
    /// When a repository cannot be had.
    pub fn fetch(&mut self) -> anyhow::Result<()> {
        match self {
            Self::Eval(args) => hub::resolve(args.model.folders()),
            Self::Predict(args) => hub::resolve(args.model.folders()),
            Self::Generate(args) => hub::resolve(args.model.folders()),
            Self::Merge(args) => {
                let own = [&mut args.model, &mut args.adapter].into_iter();
                hub::resolve(own.chain(&mut args.tokenizer))
            }
            Self::Resize(args) => hub::resolve([&mut args.model]),
            Self::Prune(args) => hub::resolve([&mut args.model, &mut args.adapter]),
            Self::Convert(args) => hub::resolve(args.model.iter_mut().chain([&mut args.adapter])),
            Self::Extract(args) => hub::resolve([&mut args.base, &mut args.tuned]),
            Self::Inspect(args) => hub::resolve(args.model.iter_mut().chain([&mut args.adapter])),
            Self::Validate(args) => hub::resolve(args.model.iter_mut().chain(&mut args.adapters)),
            Self::Diff(args) => hub::resolve([&mut args.a, &mut args.b]),
            Self::Combine(args) => hub::resolve(args.folders()),
            Self::Recycle(args) => args.fetch(),
            _ => Ok(()),
        }
    }
}

/// A data file and how it is read.
#[derive(Debug, Args)]
pub struct DataArgs {
    /// Data file: CSV, TSV, JSONL, JSON or Parquet, also packed (.gz); for a model of images a folder, a table of pixels or idx.
    #[arg(long)]
    pub data: PathBuf,
    #[command(flatten)]
    pub read: ReadArgs,
}

/// How a data file is read.
#[derive(Debug, Args)]
pub struct ReadArgs {
    /// csv, tsv, jsonl, json or parquet, where the extension does not tell.
    #[arg(long)]
    pub format: Option<peft_train::data::Format>,
    /// What a double quote means: auto (by the file), none (itself) or double (it encloses cells).
    #[arg(long, default_value = "auto")]
    pub quoting: peft_train::data::Quoting,
    /// What stands between cells: one character, or tab; found out where absent.
    #[arg(long, value_parser = separator)]
    pub separator: Option<char>,
    /// Encoding of a text that is no UTF-8, for example windows-1252.
    #[arg(long)]
    pub encoding: Option<peft_train::data::Encoding>,
    /// Columns: text=review,label=sentiment by the names of a header; or text,label in their order for a file without one, `_` skips a
    /// column. Absent: the usual names, or those of the run that made the adapter.
    #[arg(long, value_delimiter = ',')]
    pub columns: Option<Vec<String>>,
    /// Whether the first row is a header: yes or no; as it looks where absent.
    #[arg(long, value_parser = yes_or_no)]
    pub header: Option<bool>,
    /// Largest number of tokens of an example; when absent 128, and for causal-lm the longest row that the model takes.
    #[arg(long)]
    pub max_length: Option<usize>,
    /// Examples of a batch.
    #[arg(long, default_value_t = 64)]
    pub batch_size: usize,
    /// Uses only so many examples, from the beginning of the file.
    #[arg(long)]
    pub limit: Option<usize>,
}

/// One character between cells.
///
/// # Errors
/// When it is none.
pub fn separator(text: &str) -> Result<char, String> {
    if matches!(text, "tab" | "\\t") {
        return Ok('\t');
    }
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (Some(one), None) if one.is_ascii() && !one.is_alphanumeric() && one != '"' => Ok(one),
        _ => Err(format!(
            "expected one character such as ; or tab, found `{text}`"
        )),
    }
}

/// yes or no.
///
/// # Errors
/// When it is neither.
pub fn yes_or_no(text: &str) -> Result<bool, String> {
    match text {
        "yes" | "true" => Ok(true),
        "no" | "false" => Ok(false),
        _ => Err(format!("expected yes or no, found `{text}`")),
    }
}

impl ReadArgs {
    /// The same in the form of a run file.
    pub fn config(&self) -> peft_run::settings::DataConfig {
        peft_run::settings::DataConfig {
            format: self.format,
            quoting: self.quoting,
            separator: self.separator,
            encoding: self.encoding,
            columns: self.columns.clone(),
            header: self.header,
            max_length: self.max_length,
            limit: self.limit,
            ..Default::default()
        }
    }
}
