//! `peft eval`: scores on a data file.

use anyhow::Result;
use clap::{Args, ValueEnum};
use peft_models::Pooling;
use peft_run::adapter_arg::WeightArg;
use peft_run::eval::{EvalTask, Evaluating, evaluate};
use peft_train::metric::Metric;

use crate::flags::{DataArgs, ModelArgs};

/// What is scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TaskArg {
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
    task: TaskArg,
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

/// Runs the verb.
pub fn run(args: &EvalArgs, json: bool) -> Result<()> {
    let results = evaluate(&Evaluating {
        model: args.model.answerer(),
        data: args.data.data.clone(),
        read: args.data.read.config(),
        batch_size: args.data.read.batch_size,
        sum: args.sum.clone(),
        task: match args.task {
            TaskArg::SeqCls => EvalTask::SeqCls,
            TaskArg::ImageCls => EvalTask::ImageCls,
            TaskArg::CausalLm => EvalTask::CausalLm,
            TaskArg::Similarity => EvalTask::Similarity(match args.pooling {
                PoolingArg::Mean => Pooling::Mean,
                PoolingArg::Cls => Pooling::Cls,
            }),
        },
        metrics: args.metrics.clone(),
        positive: args.positive.clone(),
    })?;
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
        if args.task != TaskArg::Similarity {
            println!("loss {:.4}", result.scores.loss);
        }
        for (name, value) in &result.scores.metrics {
            println!("{name} {value:.4}");
        }
    }
    Ok(())
}
