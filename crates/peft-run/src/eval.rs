//! Scores of a model on a data file, with or without adapters.

mod language;
mod similarity;

use std::path::PathBuf;

use peft_models::{DecoderClassifier, ModelConfig, ModelKind, Pooling, SequenceClassifier};
use peft_train::data::{FileAccount, LabelSet};
use peft_train::metric::Metric;
use peft_train::task::{ExampleSet, Inference, Scores, classify, score_logits};
use serde::Serialize;

use crate::adapter_arg::WeightArg;
use crate::answerer::Answerer;
use crate::data::{self, Input, TextInput};
use crate::image_data::ImageInput;
use crate::open::{OpenClassifier, OpenedAdapter, is_decoder};
use crate::settings::DataConfig;
use crate::{Error, Result};
use crate::{device, open};

/// What is scored.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum EvalTask {
    /// The head's answers: labels, or values when it has one output.
    SeqCls,
    /// As `SeqCls`, for a model of images.
    ImageCls,
    /// Nats per token of a language model, and its perplexity.
    CausalLm,
    /// Cosine similarity of pooled sentence embeddings against a score, without a head.
    Similarity(Pooling),
}

/// What to score, on what.
#[derive(Debug)]
pub struct Evaluating {
    /// Model and adapters.
    pub model: Answerer,
    /// Data file.
    pub data: PathBuf,
    /// How it is read.
    pub read: DataConfig,
    /// Examples of a batch.
    pub batch_size: usize,
    /// Score the sum of these adapters instead of each by itself.
    pub sum: Vec<WeightArg>,
    /// What is scored.
    pub task: EvalTask,
    /// Metrics; the usual ones of the task when empty.
    pub metrics: Vec<Metric>,
    /// Label that metrics of one label (f1, precision, recall) are of; of two labels else the second.
    pub positive: Option<String>,
}

impl Evaluating {
    /// How the data file is read.
    fn read(&self) -> DataConfig {
        self.read
            .clone()
            .with_columns_of_run(self.model.adapter_folders())
    }
}

/// The scores of one adapter, or of the base.
#[derive(Debug, Serialize)]
pub struct EvalResult {
    /// Which adapter; absent when there is no choice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adapter: Option<String>,
    /// Examples that were scored.
    pub examples: usize,
    /// Of these, how many were cut to the maximum length.
    pub truncated: usize,
    /// What became of the file.
    pub data: FileAccount,
    /// Loss and metrics.
    #[serde(flatten)]
    pub scores: Scores,
    /// How long it took.
    pub seconds: f64,
}

/// Scores each adapter, or the base, or a sum of adapters.
///
/// # Errors
/// A model, an adapter or data that cannot be read; a task that the model cannot do.
pub fn evaluate(args: &Evaluating) -> Result<Vec<EvalResult>> {
    fits(args)?;
    args.model.run(|| by_task(args))
}

fn by_task(args: &Evaluating) -> Result<Vec<EvalResult>> {
    match args.task {
        EvalTask::SeqCls if is_decoder(&args.model.model)? => {
            classification(args, &texts::<DecoderClassifier>(args)?)
        }
        EvalTask::SeqCls => classification(args, &texts::<SequenceClassifier>(args)?),
        EvalTask::ImageCls => {
            let config = args.read();
            let beside = args.model.companions()?;
            let input = ImageInput::read(&config, &args.data, &beside, true)?;
            classification(args, &input)
        }
        EvalTask::CausalLm => language::scores(args),
        EvalTask::Similarity(pooling) => Ok(vec![similarity::score(args, pooling)?]),
    }
}

/// Refuses a task that a model of this kind cannot do, before its data are read.
fn fits(args: &Evaluating) -> Result<()> {
    let kind = ModelKind::of(&ModelConfig::read(&args.model.model)?);
    let (asks_images, has_images) = (args.task == EvalTask::ImageCls, kind == ModelKind::Images);
    if asks_images == has_images {
        return Ok(());
    }
    let (what, task) = match has_images {
        true => ("images", "image-cls"),
        false => ("texts", "seq-cls or causal-lm"),
    };
    Err(Error::Usage(format!(
        "{} is a model of {what}; give --task {task}",
        args.model.model.display()
    )))
}

/// The texts to be scored by an `M`.
fn texts<M>(args: &Evaluating) -> Result<TextInput<M>> {
    let beside = args.model.companions()?;
    TextInput::read(&args.read(), &args.data, &beside)
}

fn classification<I: Input>(args: &Evaluating, input: &I) -> Result<Vec<EvalResult>>
where
    I::Model: OpenClassifier,
{
    let device = device::open(&args.model.device)?;
    let answering = open::answering::<I::Model>(args.model.base(), &args.model.adapters, &device)?;
    let score = |name: Option<String>, adapter: Option<&OpenedAdapter>, model: &_| {
        let labels = answering.labels_for(adapter, || input.labels())?;
        one(args, model, input, labels.as_ref()).map(|result| EvalResult {
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
    args: &Evaluating,
    model: &I::Model,
    input: &I,
    labels: Option<&LabelSet>,
) -> Result<EvalResult> {
    let started = std::time::Instant::now();
    let metrics = data::measures(&args.metrics, args.positive.as_deref(), labels)?;
    let (set, account) = input.set(data::targets(labels))?;
    log::info!("{account}");
    let how = Inference {
        batch_size: args.batch_size,
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
