//! Answers of a classifier to the rows of a data file.

use std::path::PathBuf;

use peft_models::{DecoderClassifier, ModelConfig, ModelKind, SequenceClassifier};
use peft_train::data::Targets;
use peft_train::task::{Classifier, Inference, argmax, classify};
use serde::Serialize;

use crate::adapter_arg::{BASE, WeightArg};
use crate::answerer::Answerer;
use crate::data::{Input, TextInput};
use crate::error::Context;
use crate::image_data::ImageInput;
use crate::open::{Answering, OpenClassifier, OpenedAdapter};
use crate::settings::DataConfig;
use crate::{Error, Result};
use crate::{device, open};

/// What to answer, with what.
#[derive(Debug)]
pub struct Predicting {
    /// Model and adapters.
    pub model: Answerer,
    /// Data file.
    pub data: PathBuf,
    /// How it is read.
    pub read: DataConfig,
    /// Examples of a batch.
    pub batch_size: usize,
    /// Answer with the sum of these adapters.
    pub sum: Vec<WeightArg>,
    /// Column that names the adapter of each row, or `base`.
    pub adapter_column: Option<String>,
}

/// One answer.
#[derive(Debug, Serialize)]
pub struct Prediction {
    /// Position in the data file, counted from 0.
    pub index: usize,
    /// The file, when examples are files, below the folder of the data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// Adapter of the row, when rows have their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adapter: Option<String>,
    /// Name of the largest output; absent for regression.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Outputs of the head.
    pub logits: Vec<f32>,
}

/// Answers every row, in the order of the file.
///
/// # Errors
/// A model, an adapter or data that cannot be read; several adapters without a choice among them.
pub fn predict(args: &Predicting) -> Result<Vec<Prediction>> {
    args.model.run(|| by_kind(args))
}

fn by_kind(args: &Predicting) -> Result<Vec<Prediction>> {
    let (model, file) = (&args.model.model, &args.data);
    let data = args.read.clone();
    let data = data.with_columns_of_run(args.model.adapter_folders());
    let beside = args.model.companions()?;
    match ModelKind::of(&ModelConfig::read(model)?) {
        ModelKind::Images => answer(args, &ImageInput::read(&data, file, &beside, false)?),
        ModelKind::Causal | ModelKind::DecoderTexts => {
            let input: TextInput<DecoderClassifier> = TextInput::read(&data, file, &beside)?;
            answer(args, &input)
        }
        ModelKind::Texts => {
            let input: TextInput<SequenceClassifier> = TextInput::read(&data, file, &beside)?;
            answer(args, &input)
        }
    }
}

fn answer<I: Input>(args: &Predicting, input: &I) -> Result<Vec<Prediction>>
where
    I::Model: OpenClassifier,
{
    let device = device::open(&args.model.device)?;
    let answering = open::answering::<I::Model>(args.model.base(), &args.model.adapters, &device)?;
    let (set, account) = input.set(Targets::Unknown)?;
    log::info!("{account}");
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
        batch_size: args.batch_size,
        adapters: names.as_deref(),
    };
    let logits = classify(&model, &set, how)?;
    let answers = logits.into_iter().enumerate().map(|(index, logits)| {
        let adapter = rows.as_ref().map_or(labels_of, |rows| rows[index]);
        let label = (logits.len() > 1).then(|| answering.label(adapter, argmax(&logits)));
        Prediction {
            index,
            file: input.file(index),
            adapter: (names.as_ref()).map(|names| names[index].unwrap_or(BASE).to_owned()),
            label,
            logits,
        }
    });
    Ok(answers.collect())
}

/// The model with the adapters that were asked for, and the adapter whose label names apply.
fn chosen<'a, M: Classifier>(
    args: &Predicting,
    answering: &'a Answering<M>,
) -> Result<(M, Option<&'a OpenedAdapter>)> {
    if let Some(first) = args.sum.first() {
        return answering.with_sum(first, &args.sum);
    }
    match answering.adapters.as_slice() {
        [] => Ok((answering.with_active(&[])?, None)),
        [only] => Ok((answering.with_active(&[(&only.name, 1.0)])?, Some(only))),
        _ if args.adapter_column.is_some() => Ok((answering.with_active(&[])?, None)),
        _ => Err(Error::Usage(format!(
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
