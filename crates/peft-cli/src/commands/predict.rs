//! `peft predict`: answers as JSONL, one row per example.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use peft_core::file::write_atomic;
use peft_train::data::Targets;
use peft_train::task::classify;
use serde::Serialize;

use crate::args::{DataArgs, ModelArgs};
use crate::{data, device, open};

/// What to answer with, and where to.
#[derive(Debug, Args)]
pub struct PredictArgs {
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    data: DataArgs,
    /// JSONL file to write; stdout when absent.
    #[arg(long)]
    out: Option<PathBuf>,
}

/// One answer.
#[derive(Serialize)]
struct Prediction {
    /// Position in the data file, counted from 0.
    index: usize,
    /// Name of the largest output; absent for regression.
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    /// Outputs of the head.
    logits: Vec<f32>,
}

/// Runs the verb.
pub fn run(args: &PredictArgs, json: bool) -> Result<()> {
    let device = device::open(&args.model.device)?;
    let answering = open::answering(&args.model.model, args.model.adapter.as_ref(), &device)?;
    let config = args.data.config();
    let mut table = data::table(&config, &args.data.data)?;
    table.rows.truncate(args.data.limit.unwrap_or(usize::MAX));
    let tokenizer = data::tokenizer(&args.model.model, args.data.max_length)?;
    let examples = data::read_examples(&table, &config.roles, Targets::Unknown)?;
    let (set, truncated) = data::text_set(&tokenizer, &examples)?;
    if truncated > 0 {
        eprintln!(
            "{truncated} examples cut to {} tokens",
            args.data.max_length
        );
    }
    let model = &answering.loaded.model;
    let logits = classify(
        model,
        &set,
        tokenizer.pad_id(),
        args.data.batch_size,
        &device,
    )?;
    let mut lines = String::new();
    for (index, logits) in logits.into_iter().enumerate() {
        let label = (logits.len() > 1).then(|| answering.label(largest(&logits)));
        let row = Prediction {
            index,
            label,
            logits,
        };
        lines.push_str(&serde_json::to_string(&row)?);
        lines.push('\n');
    }
    match &args.out {
        None => print!("{lines}"),
        Some(path) => {
            write_atomic(path, lines.as_bytes())?;
            if json {
                return super::print_json(
                    &serde_json::json!({"rows": set.encoded.len(), "out": path}),
                );
            }
            println!(
                "{} answers written to {}",
                set.encoded.len(),
                path.display()
            );
        }
    }
    Ok(())
}

fn largest(logits: &[f32]) -> usize {
    (1..logits.len()).fold(0, |best, index| {
        if logits[index] > logits[best] {
            index
        } else {
            best
        }
    })
}
