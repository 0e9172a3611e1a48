//! `peft predict`: answers as JSONL, one row per example.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use peft_core::file::write_atomic;
use peft_run::adapter_arg::WeightArg;
use peft_run::predict::{Predicting, predict};

use crate::flags::{DataArgs, ModelArgs};

/// What to answer with, and where to.
#[derive(Debug, Args)]
pub struct PredictArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    data: DataArgs,
    /// Answer with the sum of these adapters: NAME or NAME=WEIGHT, comma-separated.
    #[arg(long, value_delimiter = ',', conflicts_with = "adapter_column")]
    sum: Vec<WeightArg>,
    /// Column that names the adapter of each row, or `base`; the rows of a batch go through different adapters.
    #[arg(long)]
    adapter_column: Option<String>,
    /// JSONL file to write; stdout when absent.
    #[arg(long)]
    out: Option<PathBuf>,
}

/// Runs the verb.
pub fn run(args: &PredictArgs, json: bool) -> Result<()> {
    let answers = predict(&Predicting {
        model: args.model.answerer(),
        data: args.data.data.clone(),
        read: args.data.read.config(),
        batch_size: args.data.read.batch_size,
        sum: args.sum.clone(),
        adapter_column: args.adapter_column.clone(),
    })?;
    let mut lines = String::new();
    for answer in &answers {
        lines.push_str(&serde_json::to_string(answer)?);
        lines.push('\n');
    }
    let rows = answers.len();
    match &args.out {
        None => print!("{lines}"),
        Some(path) => {
            write_atomic(path, lines.as_bytes())?;
            if json {
                return super::print_json(&serde_json::json!({"rows": rows, "out": path}));
            }
            println!("{rows} answers written to {}", path.display());
        }
    }
    Ok(())
}
