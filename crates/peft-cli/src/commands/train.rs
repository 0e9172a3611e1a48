//! `peft train`: a run from a run file, from flags, or from both.

mod flags;
mod on_screen;

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use peft_prune::Plan;

use flags::{ReadFlags, StepFlags};
use on_screen::OnScreen;

use crate::interrupt;
use peft_run::run::{self, Outcome, RunOptions, RunResult, lora_drop};
use peft_run::settings::{Names, RunConfig, parse_setting, ready};

/// Settings of a run; flags win over the run file, and `--set` over both.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Run file (TOML); `peft init` prints one.
    run: Option<PathBuf>,
    #[command(flatten)]
    settings: SettingArgs,
    #[command(flatten)]
    read: ReadFlags,
    #[command(flatten)]
    steps: StepFlags,
    /// Any setting by its dotted name, for example train.warmup=0.1; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
}

/// A run, and what becomes of its folder.
#[derive(Debug, Args)]
pub struct TrainArgs {
    #[command(flatten)]
    run: RunArgs,
    /// Write into a directory that is not empty; what an earlier run left there is removed.
    #[arg(long)]
    overwrite: bool,
    /// Continue the run in --out from its last checkpoint, with the same settings and data; --epochs and --max-steps may be greater.
    #[arg(long, conflicts_with = "overwrite")]
    resume: bool,
}

/// Flags of the most used settings.
#[derive(Debug, Args)]
pub struct SettingArgs {
    /// Folder of the base model in the Hugging Face layout, or a repository of the hub: OWNER/NAME or OWNER/NAME@REVISION.
    #[arg(long)]
    model: Option<String>,
    /// seq-cls, regression, causal-lm or image-cls.
    #[arg(long)]
    task: Option<String>,
    /// Training file: CSV, TSV, JSONL, JSON or Parquet, also packed (.gz); for image-cls a folder per class, a table of pixels or idx.
    #[arg(long)]
    train: Option<String>,
    /// Validation file.
    #[arg(long)]
    valid: Option<String>,
    /// Columns: text=review,label=sentiment by the names of a header; or text,label in their order for a file without one, `_` skips a
    /// column.
    #[arg(long)]
    columns: Option<String>,
    /// Method: see `peft methods`; or head, or full.
    #[arg(long)]
    method: Option<String>,
    /// Plan of `peft prune`: trains by lora-drop, on its layers, with its rank and alpha.
    #[arg(long)]
    plan: Option<PathBuf>,
    /// Adapter folder whose values the adapter starts with; method, rank, alpha, targets, patterns and saved modules are taken from it
    /// where no flag or setting says otherwise.
    #[arg(long)]
    start: Option<String>,
    /// Folder whose tokenizer and chat template are used; otherwise those beside --start, where it has some, or else the model's.
    #[arg(long, value_name = "FOLDER")]
    tokenizer: Option<String>,
    /// Rank.
    #[arg(long)]
    rank: Option<i64>,
    /// Alpha; twice the rank when absent.
    #[arg(long)]
    alpha: Option<f64>,
    /// Module names, comma-separated; or all-linear; or /regex/.
    #[arg(long)]
    targets: Option<String>,
    /// Probability that an input of the adapter is dropped while training.
    #[arg(long)]
    dropout: Option<f64>,
    /// For moe-lora: experts of each layer.
    #[arg(long)]
    experts: Option<i64>,
    /// For moe-lora: experts that each token goes to.
    #[arg(long)]
    top_k: Option<i64>,
    /// For moe-lora: none, sqrt-detach or theory.
    #[arg(long)]
    gate_rescale: Option<String>,
    /// For moe-lora: a LoRA folder that the next expert starts as; once for each.
    #[arg(long = "expert", value_name = "ADAPTER")]
    experts_from: Vec<String>,
    /// For eigenlorax: folder of the basis to train in, see `peft recycle build`.
    #[arg(long)]
    basis: Option<String>,
    /// none or riemannian: what gradients of low-rank pairs become before the optimizer takes them.
    #[arg(long)]
    precondition: Option<String>,
    /// adamw or sgd.
    #[arg(long)]
    optimizer: Option<String>,
    /// Peak learning rate.
    #[arg(long)]
    lr: Option<f64>,
    /// Peak learning rate of the output layer: a number, same (as --lr), or auto: a larger one for a layer that starts afresh beside an adapter.
    #[arg(long, value_name = "RATE")]
    head_lr: Option<String>,
    /// constant, linear or cosine.
    #[arg(long)]
    schedule: Option<String>,
    /// Warm-up: a number of steps, or a share such as 0.1.
    #[arg(long)]
    warmup: Option<String>,
    /// Passes over the training data, unless --max-steps is given.
    #[arg(long)]
    epochs: Option<i64>,
    /// Takes exactly so many steps, in as many passes over the data as that needs.
    #[arg(long)]
    max_steps: Option<i64>,
    /// Examples of a batch.
    #[arg(long)]
    batch_size: Option<i64>,
    /// Largest number of tokens of an example; when absent 128, and for causal-lm the longest row that the model takes.
    #[arg(long)]
    max_length: Option<i64>,
    /// Uses only so many training examples.
    #[arg(long)]
    limit: Option<i64>,
    /// Seed of factors, data order and dropout.
    #[arg(long)]
    seed: Option<i64>,
    /// Run directory.
    #[arg(long)]
    out: Option<String>,
    /// auto, flex, ndarray, wgpu, vulkan, metal or cuda (cuda:1 for the second).
    #[arg(long)]
    device: Option<String>,
}

impl SettingArgs {
    /// The flags that were given, as settings of a run file.
    pub fn settings(&self) -> Vec<(String, toml::Value)> {
        let text = |key: &str, value: &Option<String>| {
            value
                .clone()
                .map(|value| (key.to_owned(), toml::Value::String(value)))
        };
        let whole = |key: &str, value: Option<i64>| {
            value.map(|value| (key.to_owned(), toml::Value::Integer(value)))
        };
        let float = |key: &str, value: Option<f64>| {
            value.map(|value| (key.to_owned(), toml::Value::Float(value)))
        };
        let list = |key: &str, value: &Option<String>| {
            value.as_deref().map(|value| (key.to_owned(), names(value)))
        };
        [
            text("model", &self.model),
            text("task", &self.task),
            text("data.train", &self.train),
            text("data.valid", &self.valid),
            self.columns
                .as_deref()
                .map(|columns| ("data.columns".to_owned(), comma_list(columns))),
            text("data.tokenizer", &self.tokenizer),
            text("adapter.method", &self.method),
            text("adapter.start", &self.start),
            whole("adapter.rank", self.rank),
            float("adapter.alpha", self.alpha),
            list("adapter.targets", &self.targets),
            float("adapter.options.dropout", self.dropout),
            whole("adapter.options.experts", self.experts),
            whole("adapter.options.top_k", self.top_k),
            (!self.experts_from.is_empty())
                .then(|| ("adapter.experts_from".to_owned(), array(&self.experts_from))),
            text("adapter.options.gate_rescale", &self.gate_rescale),
            text("adapter.options.basis", &self.basis),
            text("precondition.kind", &self.precondition),
            text("train.optimizer", &self.optimizer),
            float("train.lr", self.lr),
            self.head_lr
                .as_deref()
                .map(|text| ("train.head_lr".to_owned(), number_or_text(text))),
            text("train.schedule", &self.schedule),
            self.warmup
                .as_deref()
                .map(|text| ("train.warmup".to_owned(), warmup(text))),
            whole("train.epochs", self.epochs),
            whole("train.max_steps", self.max_steps),
            whole("train.batch_size", self.batch_size),
            whole("data.max_length", self.max_length),
            whole("data.limit", self.limit),
            whole("train.seed", self.seed),
            text("out", &self.out),
            text("device", &self.device),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// A number of steps, or a share of all; a text that is neither is refused with the other settings.
fn warmup(text: &str) -> toml::Value {
    let steps = text.parse().map(toml::Value::Integer);
    steps.unwrap_or_else(|_| number_or_text(text))
}

/// A number, or a word.
fn number_or_text(text: &str) -> toml::Value {
    let number = text.parse().map(toml::Value::Float);
    number.unwrap_or_else(|_| toml::Value::String(text.into()))
}

fn names(value: &str) -> toml::Value {
    match Names::of_flag(value) {
        Names::Text(text) => toml::Value::String(text),
        Names::List(names) => array(&names),
    }
}

fn comma_list(value: &str) -> toml::Value {
    let items: Vec<&str> = value.split(',').map(str::trim).collect();
    array(&items)
}

fn array<T: AsRef<str>>(items: &[T]) -> toml::Value {
    let items = items.iter();
    toml::Value::Array(
        items
            .map(|item| toml::Value::String(item.as_ref().to_owned()))
            .collect(),
    )
}

impl RunArgs {
    /// The settings of a run from its file, its flags and `--set`.
    ///
    /// # Errors
    /// When one of them cannot be read, or a repository cannot be had.
    pub fn config(&self) -> Result<RunConfig> {
        let mut settings = match &self.settings.plan {
            Some(plan) => lora_drop::settings(&Plan::read(plan)?),
            None => vec![],
        };
        settings.extend(self.settings.settings());
        settings.extend(self.read.settings());
        settings.extend(self.steps.settings());
        for text in &self.set {
            settings.push(parse_setting(text)?);
        }
        ready(RunConfig::table(self.run.as_deref(), &settings)?)
    }

    /// The settings of something that needs no more of a run than its model.
    ///
    /// # Errors
    /// As [`Self::config`], and when no model is named.
    pub fn config_with_model(&self) -> Result<RunConfig> {
        let config = self.config()?;
        if config.model.as_os_str().is_empty() {
            bail!(peft_run::Usage(
                "missing setting: model; give --model or a run file".into()
            ));
        }
        Ok(config)
    }
}

/// Runs the verb.
pub fn run(args: &TrainArgs, json: bool) -> Result<()> {
    let config = args.run.config()?;
    let options = RunOptions {
        overwrite: args.overwrite,
        resume: args.resume,
    };
    interrupt::watch()?;
    let outcome = run::train(&config, options, &mut OnScreen)?;
    match outcome {
        Outcome::Trained(result) if json => super::print_json(&result),
        Outcome::Trained(result) => {
            print(&result);
            Ok(())
        }
        Outcome::Finished(results) => finished(&config, &results, json),
    }
}

/// Says that there is nothing left to do, and what the run ended with.
fn finished(config: &RunConfig, results: &serde_json::Value, json: bool) -> Result<()> {
    let out = config.out.display();
    eprintln!(
        "{out} holds this run, finished: nothing was changed; more --epochs or --max-steps make it longer, --overwrite starts anew"
    );
    if json {
        return super::print_json(results);
    }
    println!("{} steps, {} tokens", results["steps"], results["tokens"]);
    println!("written to {out}");
    Ok(())
}

fn print(result: &RunResult) {
    let report = &result.report;
    println!("{}", result.parameters);
    println!(
        "{} steps, {} tokens, {:.1} s",
        report.steps, report.tokens, report.seconds
    );
    if let Some(scores) = &report.scores {
        if let Some(best) = report.best_step {
            println!(
                "weights of step {}; the best by {} is step {best}",
                report.selected_step, report.judged_by
            );
        }
        println!("valid loss {:.4}", scores.loss);
        for (name, value) in &scores.metrics {
            println!("{name} {value:.4}");
        }
    }
    println!("written to {}", result.out.display());
}
