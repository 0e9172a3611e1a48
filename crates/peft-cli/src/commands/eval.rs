//! `peft eval`: scores on a data file.

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use peft_models::{Pooling, TokenBatch, l2_normalized, load_encoder};
use peft_train::data::{BatchPlan, Encoded, Target, Targets};
use peft_train::metric::Metric;
use peft_train::task::{Scores, TextSet, classify, score_logits};
use serde::Serialize;

use crate::args::{DataArgs, ModelArgs};
use crate::{data, device, open};

/// What is scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum EvalTask {
    /// The head's answers: labels, or values when it has one output.
    SeqCls,
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
    model: ModelArgs,
    #[command(flatten)]
    data: DataArgs,
    /// What is scored.
    #[arg(long, value_enum, default_value = "seq-cls")]
    task: EvalTask,
    /// Pooling of --task similarity.
    #[arg(long, value_enum, default_value = "mean")]
    pooling: PoolingArg,
    /// Metrics, comma-separated; the usual ones of the task when absent.
    #[arg(long, value_delimiter = ',')]
    metrics: Vec<Metric>,
}

#[derive(Serialize)]
struct EvalResult {
    examples: usize,
    truncated: usize,
    #[serde(flatten)]
    scores: Scores,
    seconds: f64,
}

/// Runs the verb.
pub fn run(args: &EvalArgs, json: bool) -> Result<()> {
    let started = std::time::Instant::now();
    let (examples, truncated, scores) = match args.task {
        EvalTask::SeqCls => classification(args)?,
        EvalTask::Similarity => similarity(args)?,
    };
    let result = EvalResult {
        examples,
        truncated,
        scores,
        seconds: started.elapsed().as_secs_f64(),
    };
    if json {
        return super::print_json(&result);
    }
    println!(
        "{} examples, {truncated} cut to {} tokens",
        result.examples, args.data.max_length
    );
    if args.task == EvalTask::SeqCls {
        println!("loss {:.4}", result.scores.loss);
    }
    for (name, value) in &result.scores.metrics {
        println!("{name} {value:.4}");
    }
    Ok(())
}

fn classification(args: &EvalArgs) -> Result<(usize, usize, Scores)> {
    let device = device::open(&args.model.device)?;
    let answering = open::answering(&args.model.model, args.model.adapter.as_ref(), &device)?;
    let config = args.data.config();
    let mut table = data::table(&config, &args.data.data)?;
    let labels = answering.labels_for(&table, &config.roles)?;
    table.rows.truncate(args.data.limit.unwrap_or(usize::MAX));
    let tokenizer = data::tokenizer(&args.model.model, args.data.max_length)?;
    let examples = data::read_examples(&table, &config.roles, data::targets(labels.as_ref()))?;
    let (set, truncated) = data::text_set(&tokenizer, &examples)?;
    let model = &answering.loaded.model;
    let logits = classify(
        model,
        &set,
        tokenizer.pad_id(),
        args.data.batch_size,
        &device,
    )?;
    let metrics = data::metrics(&args.metrics, labels.as_ref());
    let scores = score_logits(
        &logits,
        &set.targets,
        data::objective(labels.as_ref()),
        &metrics,
    );
    Ok((examples.len(), truncated, scores))
}

fn similarity(args: &EvalArgs) -> Result<(usize, usize, Scores)> {
    if args.model.adapter.is_some() {
        bail!(crate::Usage(
            "--task similarity scores a bare encoder; it takes no --adapter".into()
        ));
    }
    let config = args.data.config();
    let mut table = data::table(&config, &args.data.data)?;
    table.rows.truncate(args.data.limit.unwrap_or(usize::MAX));
    let pairs = data::read_examples(&table, &config.roles, Targets::Values)?;
    let tokenizer = data::tokenizer(&args.model.model, args.data.max_length)?;
    let mut sides = [pairs.clone(), pairs.clone()];
    for example in &mut sides[1] {
        match example.pair.take() {
            Some(second) => example.text = second,
            None => bail!(crate::Usage(
                "--task similarity needs two texts per row: columns sentence1,sentence2,score"
                    .into()
            )),
        }
    }
    sides[0].iter_mut().for_each(|example| example.pair = None);
    let [first, second] = sides;
    let (first, cut_first) = data::text_set(&tokenizer, &first)?;
    let (second, cut_second) = data::text_set(&tokenizer, &second)?;
    let embed = Embedder::open(args, tokenizer.pad_id())?;
    let (left, right) = (embed.all(&first)?, embed.all(&second)?);
    let cosines: Vec<f64> = left.iter().zip(&right).map(|(a, b)| dot(a, b)).collect();
    let truth: Vec<f64> = pairs
        .iter()
        .map(|example| match example.target {
            Target::Value(value) => value,
            _ => f64::NAN,
        })
        .collect();
    let asked = data::metrics(&args.metrics, None);
    let metrics = asked
        .iter()
        .filter(|metric| **metric != Metric::Mse)
        .filter_map(|metric| {
            Some((
                metric.name().to_owned(),
                metric.of_values(&cosines, &truth)?,
            ))
        })
        .collect();
    Ok((
        pairs.len(),
        cut_first + cut_second,
        Scores { loss: 0.0, metrics },
    ))
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter()
        .zip(b)
        .map(|(a, b)| f64::from(*a) * f64::from(*b))
        .sum()
}

/// A bare encoder that turns texts into unit vectors.
struct Embedder {
    encoder: peft_models::Encoder,
    pooling: Pooling,
    pad_id: u32,
    batch_size: usize,
    device: burn::tensor::Device,
}

impl Embedder {
    fn open(args: &EvalArgs, pad_id: u32) -> Result<Self> {
        let device = device::open(&args.model.device)?;
        Ok(Self {
            encoder: load_encoder(&args.model.model, &device)?.model,
            pooling: match args.pooling {
                PoolingArg::Mean => Pooling::Mean,
                PoolingArg::Cls => Pooling::Cls,
            },
            pad_id,
            batch_size: args.data.batch_size,
            device,
        })
    }

    fn all(&self, set: &TextSet) -> Result<Vec<Vec<f32>>> {
        let plan = BatchPlan::evaluation(&set.lengths(), self.batch_size, None)?;
        let mut rows = Vec::with_capacity(set.encoded.len());
        for examples in plan.batches() {
            let take = |part: fn(&Encoded) -> &Vec<u32>| -> Vec<Vec<u32>> {
                examples
                    .iter()
                    .map(|index| part(&set.encoded[*index]).clone())
                    .collect()
            };
            let (ids, types) = (take(|row| &row.ids), take(|row| &row.type_ids));
            let batch = TokenBatch::new(&ids, Some(&types), self.pad_id, &self.device)?;
            self.encoder.check(&batch)?;
            let hidden = self.encoder.hidden(&batch, &mut peft_core::Pass::eval());
            let vectors = l2_normalized(self.pooling.forward(hidden, &batch));
            let width = vectors.dims()[1];
            let values: Vec<f32> = vectors.into_data().iter::<f32>().collect();
            rows.extend(values.chunks(width).map(<[f32]>::to_vec));
        }
        Ok(plan.restore(rows))
    }
}
