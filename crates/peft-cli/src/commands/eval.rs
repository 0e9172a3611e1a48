//! `peft eval`: scores on a data file.

mod language;
mod similarity;

use anyhow::{Result, bail};
use burn::tensor::Device;
use clap::{Args, ValueEnum};
use peft_models::{DecoderClassifier, ModelConfig, ModelKind, SequenceClassifier};
use peft_train::data::{FileAccount, LabelSet};
use peft_train::metric::Metric;
use peft_train::task::{ExampleSet, Inference, Scores, classify, score_logits};
use serde::Serialize;

use crate::args::{DataArgs, ModelArgs};
use peft_run::adapter_arg::WeightArg;
use peft_run::data::{self, Input, TextInput};
use peft_run::image_data::ImageInput;
use peft_run::open::{OpenClassifier, OpenedAdapter, is_decoder};
use peft_run::settings::DataConfig;
use peft_run::{device, open};

/// What is scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum EvalTask {
    /// The head's answers: labels, or values when it has one output.
    SeqCls,
    /// As seq-cls, for a model of images.
    ImageCls,
    /// Nats per token of a language model, and its perplexity.
    CausalLm,
    /// Cosine similarity of pooled sentence embeddings against a score, without a head.
    Similarity,
}

/// How embeddings of tokens become one of the sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PoolingArg {
    /// Mean over the tokens.
    Mean,
    /// The first token.
    Cls,
}

/// What to score, on what.
#[derive(Debug, Args)]
pub struct EvalArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    data: DataArgs,
    /// Score the sum of these adapters, NAME or NAME=WEIGHT, comma-separated, instead of each by itself.
    #[arg(long, value_delimiter = ',')]
    sum: Vec<WeightArg>,
    /// What is scored.
    #[arg(long, value_enum, default_value = "seq-cls")]
    task: EvalTask,
    /// Pooling of --task similarity.
    #[arg(long, value_enum, default_value = "mean")]
    pooling: PoolingArg,
    /// Metrics, comma-separated; the usual ones of the task when absent.
    #[arg(long, value_delimiter = ',')]
    metrics: Vec<Metric>,
    /// Label that metrics of one label (f1, precision, recall) are of; of two labels else the second.
    #[arg(long)]
    positive: Option<String>,
}

impl EvalArgs {
    /// How the data file is read.
    fn read(&self) -> DataConfig {
        self.data
            .read
            .config()
            .with_columns_of_run(self.model.adapter_folders())
    }
}

/// The scores of one adapter, or of the base.
#[derive(Serialize)]
struct EvalResult {
    /// Which adapter; absent when there is no choice.
    #[serde(skip_serializing_if = "Option::is_none")]
    adapter: Option<String>,
    examples: usize,
    truncated: usize,
    data: FileAccount,
    #[serde(flatten)]
    scores: Scores,
    seconds: f64,
}

/// Runs the verb.
pub fn run(args: &EvalArgs, json: bool) -> Result<()> {
    fits(args)?;
    let results = match args.task {
        EvalTask::SeqCls if is_decoder(&args.model.model)? => {
            classification(args, &texts::<DecoderClassifier>(args)?)?
        }
        EvalTask::SeqCls => classification(args, &texts::<SequenceClassifier>(args)?)?,
        EvalTask::ImageCls => {
            let config = args.read();
            let beside = args.model.companions()?;
            let input = ImageInput::read(&config, &args.data.data, &beside, true)?;
            classification(args, &input)?
        }
        EvalTask::CausalLm => language::scores(args)?,
        EvalTask::Similarity => vec![similarity::score(args)?],
    };
    if json {
        return match results.as_slice() {
            [only] => super::print_json(only),
            several => super::print_json(&serde_json::json!({ "adapters": several })),
        };
    }
    for result in &results {
        if let Some(adapter) = &result.adapter {
            println!("adapter {adapter}");
        }
        match &result.data.tokens {
            Some(tokens) => println!(
                "{} examples, {} cut to {} tokens",
                result.examples, result.truncated, tokens.max_length
            ),
            None => println!("{} examples", result.examples),
        }
        if args.task != EvalTask::Similarity {
            println!("loss {:.4}", result.scores.loss);
        }
        for (name, value) in &result.scores.metrics {
            println!("{name} {value:.4}");
        }
    }
    Ok(())
}

/// Refuses a task that a model of this kind cannot do, before its data are read.
fn fits(args: &EvalArgs) -> Result<()> {
    let kind = ModelKind::of(&ModelConfig::read(&args.model.model)?);
    let (asks_images, has_images) = (args.task == EvalTask::ImageCls, kind == ModelKind::Images);
    if asks_images == has_images {
        return Ok(());
    }
    let (what, task) = match has_images {
        true => ("images", "image-cls"),
        false => ("texts", "seq-cls or causal-lm"),
    };
    bail!(peft_run::Usage(format!(
        "{} is a model of {what}; give --task {task}",
        args.model.model.display()
    )))
}

/// The texts to be scored by an `M`.
fn texts<M>(args: &EvalArgs) -> Result<TextInput<M>> {
    let beside = args.model.companions()?;
    TextInput::read(&args.read(), &args.data.data, &beside)
}

fn classification<I: Input>(args: &EvalArgs, input: &I) -> Result<Vec<EvalResult>>
where
    I::Model: OpenClassifier,
{
    let device = device::open(&args.model.device)?;
    let answering = open::answering::<I::Model>(&args.model.model, &args.model.adapter, &device)?;
    let score = |name: Option<String>, adapter: Option<&OpenedAdapter>, model: &_| {
        let labels = answering.labels_for(adapter, || input.labels())?;
        one(args, model, input, labels.as_ref(), &device).map(|result| EvalResult {
            adapter: name,
            ..result
        })
    };
    if let Some(first) = args.sum.first() {
        let (model, first) = answering.with_sum(first, &args.sum)?;
        return Ok(vec![score(None, first, &model)?]);
    }
    let alone = |adapter: &OpenedAdapter| answering.with_active(&[(&adapter.name, 1.0)]);
    match answering.adapters.as_slice() {
        [] => Ok(vec![score(None, None, &answering.loaded.model)?]),
        [only] => Ok(vec![score(None, Some(only), &alone(only)?)?]),
        several => several
            .iter()
            .map(|adapter| score(Some(adapter.name.clone()), Some(adapter), &alone(adapter)?))
            .collect(),
    }
}

fn one<I: Input>(
    args: &EvalArgs,
    model: &I::Model,
    input: &I,
    labels: Option<&LabelSet>,
    device: &Device,
) -> Result<EvalResult> {
    let started = std::time::Instant::now();
    let metrics = data::measures(&args.metrics, args.positive.as_deref(), labels)?;
    let (set, account) = input.set(data::targets(labels))?;
    eprintln!("{account}");
    let how = Inference {
        batch_size: args.data.read.batch_size,
        device,
        adapters: None,
    };
    let logits = classify(model, &set, how)?;
    let objective = data::objective(labels);
    Ok(EvalResult {
        adapter: None,
        examples: set.targets().len(),
        truncated: account.cut_rows(),
        data: account,
        scores: score_logits(&logits, set.targets(), objective, &metrics),
        seconds: started.elapsed().as_secs_f64(),
    })
}
