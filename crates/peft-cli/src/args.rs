//! The command line: verbs and their flags.

use clap::{Parser, Subcommand};

use crate::commands::{
    bench, chat, combine, convert, data, devices, diff, eval, extract, generate, init, inspect,
    merge, plot, predict, prune, quickstart, recycle, resize, targets, train, validate,
};
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
    /// List the devices that this binary can compute on; or serve them to other machines.
    Devices(devices::DevicesArgs),
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
    /// Talk to a language model: a conversation on the terminal, with any adapters.
    Chat(chat::ChatArgs),
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

impl Verb {
    /// Fetches what is named by a repository of the hub instead of a folder; a run does so for its own settings.
    ///
    /// # Errors
    /// When a repository cannot be had.
    pub fn fetch(&mut self) -> peft_run::Result<()> {
        match self {
            Self::Eval(args) => hub::resolve(args.model.folders()),
            Self::Predict(args) => hub::resolve(args.model.folders()),
            Self::Generate(args) => hub::resolve(args.model.folders()),
            Self::Chat(args) => hub::resolve(args.model.folders()),
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
