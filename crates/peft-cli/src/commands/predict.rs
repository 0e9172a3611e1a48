//! `peft predict`: answers as JSONL, one row per example.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use peft_core::file::write_atomic;
use peft_models::{DecoderClassifier, ModelConfig, ModelKind, SequenceClassifier};
use peft_train::data::Targets;
use peft_train::task::{Classifier, ExampleSet, Inference, argmax, classify};
use serde::Serialize;

use crate::args::{DataArgs, ModelArgs};
use peft_run::adapter_arg::{BASE, WeightArg};
use peft_run::data::{Input, TextInput};
use peft_run::image_data::ImageInput;
use peft_run::open::{Answering, OpenClassifier, OpenedAdapter};
use peft_run::{device, open};

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

/// One answer.
#[derive(Serialize)]
struct Prediction<'a> {
    /// Position in the data file, counted from 0.
    index: usize,
    /// The file, when examples are files, below the folder of the data.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<PathBuf>,
    /// Adapter of the row, when rows have their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    adapter: Option<&'a str>,
    /// Name of the largest output; absent for regression.
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    /// Outputs of the head.
    logits: Vec<f32>,
}

/// Runs the verb.
pub fn run(args: &PredictArgs, json: bool) -> Result<()> {
    let model = &args.model.model;
    let data = args.data.read.config();
    let (data, file) = (
        data.with_columns_of_run(args.model.adapter_folders()),
        &args.data.data,
    );
    let beside = args.model.companions()?;
    match ModelKind::of(&ModelConfig::read(model)?) {
        ModelKind::Images => answer(args, &ImageInput::read(&data, file, &beside, false)?, json),
        ModelKind::Causal | ModelKind::DecoderTexts => {
            let input: TextInput<DecoderClassifier> = TextInput::read(&data, file, &beside)?;
            answer(args, &input, json)
        }
        ModelKind::Texts => {
            let input: TextInput<SequenceClassifier> = TextInput::read(&data, file, &beside)?;
            answer(args, &input, json)
        }
    }
}

fn answer<I: Input>(args: &PredictArgs, input: &I, json: bool) -> Result<()>
where
    I::Model: OpenClassifier,
{
    let device = device::open(&args.model.device)?;
    let answering = open::answering::<I::Model>(&args.model.model, &args.model.adapter, &device)?;
    let (set, account) = input.set(Targets::Unknown)?;
    eprintln!("{account}");
    let rows = match &args.adapter_column {
        Some(column) => Some(adapter_of_rows(&answering, input, column)?),
        None => None,
    };
    let names: Option<Vec<Option<&str>>> = rows.as_ref().map(|rows| {
        rows.iter()
            .map(|row| row.map(|adapter| adapter.name.as_str()))
            .collect()
    });
    let (model, labels_of) = chosen(args, &answering)?;
    let how = Inference {
        batch_size: args.data.read.batch_size,
        device: &device,
        adapters: names.as_deref(),
    };
    let logits = classify(&model, &set, how)?;
    let mut lines = String::new();
    for (index, logits) in logits.into_iter().enumerate() {
        let adapter = rows.as_ref().map_or(labels_of, |rows| rows[index]);
        let label = (logits.len() > 1).then(|| answering.label(adapter, argmax(&logits)));
        let row = Prediction {
            index,
            file: input.file(index),
            adapter: names.as_ref().map(|names| names[index].unwrap_or(BASE)),
            label,
            logits,
        };
        lines.push_str(&serde_json::to_string(&row)?);
        lines.push('\n');
    }
    write(args, &lines, set.targets().len(), json)
}

/// Writes the answers to where they were asked for.
fn write(args: &PredictArgs, lines: &str, rows: usize, json: bool) -> Result<()> {
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

/// The model with the adapters that were asked for, and the adapter whose label names apply.
fn chosen<'a, M: Classifier>(
    args: &PredictArgs,
    answering: &'a Answering<M>,
) -> Result<(M, Option<&'a OpenedAdapter>)> {
    if let Some(first) = args.sum.first() {
        return answering.with_sum(first, &args.sum);
    }
    match answering.adapters.as_slice() {
        [] => Ok((answering.with_active(&[])?, None)),
        [only] => Ok((answering.with_active(&[(&only.name, 1.0)])?, Some(only))),
        _ if args.adapter_column.is_some() => Ok((answering.with_active(&[])?, None)),
        _ => bail!(peft_run::Usage(format!(
            "several adapters ({}): choose with --sum NAME[=WEIGHT],... or --adapter-column COLUMN",
            answering.names()
        ))),
    }
}

/// The adapter of every row of the data file; `None` is the base.
fn adapter_of_rows<'a, I: Input>(
    answering: &'a Answering<I::Model>,
    input: &I,
    column: &str,
) -> Result<Vec<Option<&'a OpenedAdapter>>> {
    let rows = input.column(column)?.into_iter();
    rows.map(|(name, place)| answering.adapter(&name).with_context(|| place))
        .collect()
}
