//! `cargo xtask compare-chat`: LoRA of a chat model from its GGUF file beside Hugging Face PEFT's of the same weights, unpacked.
//!
//! Both begin with one adapter and take the same batches in the same order. The runs follow each other, theirs and ours by turns, so that
//! what else the machine does falls on both.

mod ours;
mod table;

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use serde::Deserialize;

use crate::shell::Step;
use ours::Ours;
use table::{Peer, Row, table};

/// Arguments of `cargo xtask compare-chat`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// A Python with torch, transformers, peft, gguf and safetensors.
    #[arg(long)]
    python: PathBuf,
    /// The model as a GGUF file: SmolLM2-135M-Instruct.Q4_1.gguf.
    #[arg(long)]
    model: PathBuf,
    /// Folder of the E2E set, with devset.csv and testset_w_refs.csv.
    #[arg(long)]
    data: PathBuf,
    /// Where the unpacked model, the chats and the runs go: a gigabyte.
    #[arg(long, default_value = "target/compare/chat")]
    work: PathBuf,
    /// Steps of each run.
    #[arg(long, default_value_t = 200)]
    steps: usize,
    /// Rows that are judged by before and after.
    #[arg(long, default_value_t = 300)]
    held_out: usize,
    /// Learning rate, the same at every step.
    #[arg(long, default_value_t = 5e-4)]
    lr: f64,
    /// Only bases whose name has this in it.
    #[arg(long)]
    only: Option<String>,
    /// Processor cores that all are bound to.
    #[arg(long, default_value = "0,1")]
    cores: String,
}

/// Examples of a step.
const ROWS: usize = 8;
/// What the order of the batches is drawn by.
const SEED: usize = 0;

/// What a run comes to.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
struct Figures {
    /// Loss of the held-out rows, a token.
    loss: f64,
    /// Seconds of a step, the one in the middle.
    step: f64,
    /// MiB that the process has held at most.
    memory: f64,
}

impl Arguments {
    fn threads(&self) -> String {
        self.cores.split(',').count().to_string()
    }

    fn work(&self, name: &str) -> String {
        self.work.join(name).display().to_string()
    }

    fn script(&self, verb: &str) -> Step {
        let words = [
            &self.python.display().to_string(),
            "tools/compare/chat_models.py",
            verb,
            "--work",
            &self.work.display().to_string(),
            "--steps",
            &self.steps.to_string(),
        ];
        Step::on_cores(&self.cores, &words)
    }
}

/// Measures and prints a table.
///
/// # Errors
/// A program does not start or does not finish.
pub(crate) fn run(root: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    prepare(root, arguments)?;
    let wanted = |base: &&Ours| {
        let only = arguments.only.as_deref();
        only.is_none_or(|only| base.name.contains(only))
    };
    let mut theirs = ["f32", "bf16"].iter();
    let (mut peers, mut rows) = (Vec::new(), Vec::new());
    for base in ours::BASES.iter().filter(wanted) {
        if let Some(mode) = theirs.next() {
            peers.push(peer(root, arguments, mode)?);
        }
        let figures = base.run(root, arguments)?;
        println!("  {}: {figures:?}", base.name);
        rows.push(Row {
            base: *base,
            figures,
        });
    }
    for mode in theirs {
        peers.push(peer(root, arguments, mode)?);
    }
    println!("{}", table(&peers, &rows)?);
    println!("{}", ours::in_llama_cpp(root, arguments));
    Ok(())
}

/// The chats, the unpacked model, the adapter that all begin with and the order of the batches.
fn prepare(root: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    Step::new("cargo build --release --bin peft --example training_order").run(root)?;
    let order = root.join(&arguments.work).join("order.json");
    arguments
        .script("prepare")
        .with_arguments(&[
            "--gguf".to_owned(),
            arguments.model.display().to_string(),
            "--data".to_owned(),
            arguments.data.display().to_string(),
            "--held-out".to_owned(),
            arguments.held_out.to_string(),
        ])
        .run(root)?;
    let examples = (arguments.steps * ROWS).to_string();
    let printed = Step::new("target/release/examples/training_order")
        .with_arguments(&[examples, ROWS.to_string(), SEED.to_string()])
        .output(root)?;
    std::fs::write(&order, printed).with_context(|| format!("writing {}", order.display()))
}

fn peer(root: &Path, arguments: &Arguments, mode: &str) -> anyhow::Result<Peer> {
    let own = ["--mode", mode, "--lr", &arguments.lr.to_string()].map(str::to_owned);
    let threads = ["--threads".to_owned(), arguments.threads()];
    let printed = arguments
        .script("train")
        .with_arguments(&own)
        .with_arguments(&threads)
        .output(root)?;
    let last = printed.lines().last().unwrap_or_default();
    let figures: Figures = serde_json::from_str(last)
        .with_context(|| format!("expected loss, step and memory as JSON, found {last:?}"))?;
    println!("  PEFT, {mode}: {figures:?}");
    Ok(Peer {
        name: match mode {
            "f32" => "PEFT, f32",
            _ => "PEFT, bf16 autocast",
        },
        figures,
    })
}
