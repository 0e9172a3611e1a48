//! Flags of how data files are read, what a run is judged by, and how often.

use clap::Args;
use peft_train::data::{Encoding, Format, Quoting};
use peft_train::metric::Metric;
use toml::Value;

use crate::args::{separator, yes_or_no};

/// How data files are read.
#[derive(Debug, Args)]
pub struct ReadFlags {
    /// csv, tsv, jsonl, json or parquet, where the extension does not tell.
    #[arg(long)]
    format: Option<Format>,
    /// What a double quote means: auto (by the file), none (itself) or double (it encloses cells).
    #[arg(long)]
    quoting: Option<Quoting>,
    /// What stands between cells: one character, or tab; found out where absent.
    #[arg(long, value_parser = separator)]
    separator: Option<char>,
    /// Encoding of a text that is no UTF-8, for example windows-1252.
    #[arg(long)]
    encoding: Option<Encoding>,
    /// Whether the first row is a header: yes or no; as it looks where absent.
    #[arg(long, value_parser = yes_or_no)]
    header: Option<bool>,
    /// Share of the training examples to set aside and judge by, for example 0.1, instead of --valid.
    #[arg(long)]
    valid_share: Option<f64>,
    /// For causal-lm: whether several texts share a row: yes or no.
    #[arg(long, value_parser = yes_or_no)]
    packing: Option<bool>,
}

/// How the steps of a run follow each other, and what it is judged by.
#[derive(Debug, Args)]
pub struct StepFlags {
    /// Batches whose gradients make one step.
    #[arg(long)]
    accumulation: Option<i64>,
    /// Weight decay.
    #[arg(long)]
    weight_decay: Option<f64>,
    /// Evaluates every so many steps; after every epoch where absent.
    #[arg(long)]
    eval_every: Option<i64>,
    /// Stops after so many evaluations without a better result.
    #[arg(long)]
    patience: Option<i64>,
    /// Weights the run ends with: last or best.
    #[arg(long)]
    select: Option<String>,
    /// Metrics, comma-separated; the first one compares models.
    #[arg(long, value_delimiter = ',')]
    metrics: Vec<Metric>,
    /// Label that metrics of one label (f1, precision, recall) are of; of two labels else the second.
    #[arg(long)]
    positive: Option<String>,
}

impl ReadFlags {
    /// The flags that were given, as settings of a run file.
    pub fn settings(&self) -> Vec<(String, Value)> {
        let format = self.format.map(|format| word(&format));
        let quoting = self.quoting.map(|quoting| word(&quoting));
        let text = |text: String| Value::String(text);
        given([
            ("data.format", format.flatten()),
            ("data.quoting", quoting.flatten()),
            ("data.separator", self.separator.map(|c| text(c.into()))),
            ("data.encoding", self.encoding.map(|e| text(e.name()))),
            ("data.header", self.header.map(Value::Boolean)),
            ("data.valid_share", self.valid_share.map(Value::Float)),
            ("data.packing", self.packing.map(Value::Boolean)),
        ])
    }
}

impl StepFlags {
    /// The flags that were given, as settings of a run file.
    pub fn settings(&self) -> Vec<(String, Value)> {
        let names = self.metrics.iter().map(|metric| metric.name().to_owned());
        let metrics = Value::Array(names.map(Value::String).collect());
        let text = |text: &Option<String>| text.clone().map(Value::String);
        given([
            ("train.accumulation", self.accumulation.map(Value::Integer)),
            ("train.weight_decay", self.weight_decay.map(Value::Float)),
            ("train.eval_every", self.eval_every.map(Value::Integer)),
            ("train.patience", self.patience.map(Value::Integer)),
            ("train.select", text(&self.select)),
            ("metrics", (!self.metrics.is_empty()).then_some(metrics)),
            ("positive", text(&self.positive)),
        ])
    }
}

/// What a run file calls a choice.
fn word(choice: &impl serde::Serialize) -> Option<Value> {
    Value::try_from(choice).ok()
}

fn given<const N: usize>(settings: [(&str, Option<Value>); N]) -> Vec<(String, Value)> {
    let settings = settings.into_iter();
    settings
        .filter_map(|(key, value)| Some((key.to_owned(), value?)))
        .collect()
}
