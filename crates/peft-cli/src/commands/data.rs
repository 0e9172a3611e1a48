//! `peft data`: the account of a run's data, and its rows as the model will see them, without training.

mod html;
mod shown;
mod terminal;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use peft_models::{DecoderClassifier, ModelKind, SequenceClassifier};
use peft_train::data::{DataAccount, LabelSet, Picture, Target, TextTokenizer};
use peft_train::task::TextSet;
use serde::Serialize;

use super::train::RunArgs;
use peft_run::causal_data::RunRows;
use peft_run::companions::Companions;
use peft_run::data::PreparedData;
use peft_run::open::OpenClassifier;
use peft_run::settings::{RunConfig, TaskKind};
use peft_run::{data, image_data};
use shown::ShownRow;

/// The data of a run: a run file, flags, or both, as for `peft train`.
#[derive(Debug, Args)]
pub struct DataVerbArgs {
    #[command(flatten)]
    run: RunArgs,
    /// Shows the first so many rows of the training data, token by token, with what is learnt marked.
    #[arg(long, value_name = "N", default_value_t = 0)]
    rows: usize,
    /// Shows this row of the training data, counted from 1.
    #[arg(long, value_name = "K", conflicts_with = "rows")]
    row: Option<usize>,
    /// Writes the account and the shown rows to an HTML file as well.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// The account, and rows.
#[derive(Debug, Serialize)]
struct DataResult {
    #[serde(flatten)]
    account: DataAccount,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rows: Vec<ShownRow>,
}

/// Runs the verb.
pub fn run(args: &DataVerbArgs, json: bool) -> Result<()> {
    let config = args.run.config_with_model()?;
    if config.data.train.as_os_str().is_empty() {
        bail!(peft_run::Usage(
            "missing setting: data.train; give --train or a run file".into()
        ));
    }
    let result = read(&config, args)?;
    if let Some(path) = &args.html {
        let page = html::page(&result.account, &result.rows);
        std::fs::write(path, page).with_context(|| format!("cannot write {}", path.display()))?;
    }
    if json {
        return super::print_json(&result);
    }
    println!("{}", result.account);
    terminal::print(&result.rows);
    Ok(())
}

fn read(config: &RunConfig, args: &DataVerbArgs) -> Result<DataResult> {
    let kind = peft_run::run::kind(config)?;
    match config.task {
        TaskKind::CausalLm => {
            let read = RunRows::read(config)?;
            let shown = args.shown(read.train.rows.len())?;
            let row =
                |at: usize| ShownRow::tokens(at, &read.train.rows[at], read.files.tokenizer());
            Ok(DataResult {
                account: read.account(),
                rows: shown.map(row).collect::<Result<_>>()?,
            })
        }
        TaskKind::ImageCls => images(config, args),
        _ if matches!(kind, ModelKind::Causal | ModelKind::DecoderTexts) => {
            texts::<DecoderClassifier>(config, args)
        }
        _ => texts::<SequenceClassifier>(config, args),
    }
}

fn texts<M: OpenClassifier<Set = TextSet>>(
    config: &RunConfig,
    args: &DataVerbArgs,
) -> Result<DataResult> {
    let prepared: PreparedData<M> = data::prepare(config)?;
    let tokenizer: TextTokenizer =
        data::fitting_tokenizer(&Companions::of_run(config)?, &config.data)?;
    let set = &prepared.task.train;
    let row = |at: usize| {
        let answer = answer(set.targets[at], prepared.labels.as_ref());
        ShownRow::text(at, &set.encoded[at].ids, answer, &tokenizer)
    };
    let rows = args.shown(set.targets.len())?.map(row);
    Ok(DataResult {
        rows: rows.collect::<Result<_>>()?,
        account: prepared.account,
    })
}

fn images(config: &RunConfig, args: &DataVerbArgs) -> Result<DataResult> {
    let prepared = image_data::prepare(config)?;
    let set = &prepared.task.train;
    let row = |at: usize| {
        let name = match &set.pictures[at] {
            Picture::File(path) => path.display().to_string(),
            Picture::Pixels(_) => format!("row {} of the table", at + 1),
        };
        ShownRow::picture(at, name, answer(set.targets[at], prepared.labels.as_ref()))
    };
    Ok(DataResult {
        rows: args.shown(set.pictures.len())?.map(row).collect(),
        account: prepared.account,
    })
}

/// What the model should say, in words.
fn answer(target: Target, labels: Option<&LabelSet>) -> Option<String> {
    match target {
        Target::Class(class) => labels?.names().nth(class).map(str::to_owned),
        Target::Value(value) => Some(value.to_string()),
        Target::None => None,
    }
}

impl DataVerbArgs {
    /// The rows to show of so many.
    fn shown(&self, rows: usize) -> Result<std::ops::Range<usize>> {
        match self.row {
            None => Ok(0..self.rows.min(rows)),
            Some(row) if (1..=rows).contains(&row) => Ok(row - 1..row),
            Some(row) => bail!(peft_run::Usage(format!(
                "--row {row}: the training data has rows 1 to {rows}"
            ))),
        }
    }
}
