//! `cargo xtask study NAME`: comparisons of methods on real data, resumable, ending in a Markdown table.

mod comparison;
mod contender;
mod data;
mod data_set;
mod decompose;
mod head;
mod language;
mod moe;
mod outcome;
mod pool;
mod prune;
mod queue;
mod recycle;
mod run;
mod split;
mod table;
mod tasks;
mod vision;

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

/// Which comparison.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Name {
    /// Head only, LoRA, DoRA, BoRA, SVFit and full fine-tuning on SST-2 and CoLA.
    Decompose,
    /// LoRA with one learning rate for all, and with rates of its own for the new head, on TREC, SST-2, CoLA and Banking77.
    Head,
    /// LoRA-drop, random layers and layers by parameter norm at half of LoRA's parameters, on SST-2, CoLA and TREC.
    Prune,
    /// LoRA and mixtures of experts with SGD and AdamW, plain, preconditioned and with rescaled gates, on TREC and a mixture of four tasks.
    Moe,
    /// Loadings in a basis of other tasks' adapters beside LoRA, random directions and the head alone, with one task left out at a time.
    Recycle,
    /// Every method on a small language model.
    Language,
    /// Every method on a tiny vision transformer.
    Vision,
}

/// Arguments of `cargo xtask study`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Arguments {
    /// Which comparison.
    name: Name,
    /// Folder of the base model in the Hugging Face layout; `vision` trains its own.
    #[arg(
        long,
        required_if_eq("name", "decompose"),
        required_if_eq("name", "head"),
        required_if_eq("name", "language"),
        required_if_eq("name", "moe"),
        required_if_eq("name", "prune"),
        required_if_eq("name", "recycle"),
        default_value_if("name", "vision", ".")
    )]
    model: PathBuf,
    /// Folder with the data sets `sst2`, `cola`, `banking77`, `trec`, `mrpc` and `stsb`, or `tinyshakespeare`, or `sklearn`.
    #[arg(long)]
    data: PathBuf,
    /// Where runs and tables go; runs that are finished there are not repeated.
    #[arg(long, default_value = "target/study")]
    out: PathBuf,
    /// Optimizer steps of every run; rates are chosen with half of them.
    #[arg(long, default_value_t = 300)]
    steps: usize,
    /// Runs per method and data set, with seeds from 0.
    #[arg(long, default_value_t = 3)]
    seeds: u64,
    /// Runs side by side, which share the processor's cores; times are then those of such runs.
    #[arg(long, default_value_t = 1)]
    jobs: usize,
}

/// Runs the comparison.
///
/// # Errors
/// When the program does not build, a run fails, or a file cannot be written.
pub(crate) fn run(root: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    let study = match arguments.name {
        Name::Decompose => decompose::STUDY,
        Name::Head => head::STUDY,
        Name::Language => language::STUDY,
        Name::Moe => moe::STUDY,
        Name::Prune => prune::STUDY,
        Name::Recycle => recycle::STUDY,
        Name::Vision => vision::STUDY,
    };
    study.run(root, arguments)
}
