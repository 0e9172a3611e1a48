//! A run that trains a classifier of texts or images, or a regression.

use std::path::Path;

use anyhow::Result;
use burn::tensor::Device;
use peft_models::{Loaded, SequenceClassifier};
use peft_train::Callback;
use peft_train::data::LabelSet;
use peft_train::task::Classifier;

use super::{LABELS_FILE, Prepared, RunOptions, RunResult, check_paths, claim_directory, execute};
use crate::data::PreparedData;
use crate::run_config::RunConfig;
use crate::{data, device, image_data, open};

/// Trains on texts, and returns the model that the run ends with, on its autodiff device.
///
/// # Errors
/// As [`super::train`].
pub fn train_texts(
    config: &RunConfig,
    options: RunOptions,
    callbacks: Vec<Box<dyn Callback + '_>>,
) -> Result<(RunResult, SequenceClassifier)> {
    check_paths(config)?;
    let device = device::open(&config.device)?.autodiff();
    let load = |outputs| {
        let (dropout, seed) = (config.base_dropout, config.train.seed);
        let loaded = open::classifier(&config.model, Some(outputs), dropout, seed, &device)?;
        Ok((loaded.head_modules(), loaded))
    };
    train(config, options, callbacks, data::prepare(config)?, load)
}

/// Trains on images.
///
/// # Errors
/// As [`super::train`].
pub fn train_images(
    config: &RunConfig,
    options: RunOptions,
    callbacks: Vec<Box<dyn Callback + '_>>,
) -> Result<RunResult> {
    check_paths(config)?;
    let device: Device = device::open(&config.device)?.autodiff();
    let load = |outputs| {
        let (dropout, seed) = (config.base_dropout, config.train.seed);
        let loaded = open::images(&config.model, Some(outputs), dropout, seed, &device)?;
        Ok((loaded.head_modules(), loaded))
    };
    let data = image_data::prepare(config)?;
    Ok(train(config, options, callbacks, data, load)?.0)
}

/// Trains the model that `load` gives for a number of outputs, with the modules that are its head.
fn train<M: Classifier>(
    config: &RunConfig,
    options: RunOptions,
    callbacks: Vec<Box<dyn Callback + '_>>,
    data: PreparedData<M>,
    load: impl FnOnce(usize) -> Result<(Vec<String>, Loaded<M>)>,
) -> Result<(RunResult, M)> {
    let _claim = claim_directory(config, options)?;
    let labels = data.labels.as_ref();
    let (head_modules, mut loaded) = load(labels.map_or(1, LabelSet::len))?;
    if let Some(labels) = labels {
        let names: Vec<String> = labels.names().map(str::to_owned).collect();
        loaded.config = loaded.config.with_labels(&names);
    }
    let prepared = Prepared {
        examples: data.examples,
        truncated: data.truncated,
        head_modules,
        loaded,
        data: data.rows,
    };
    // Before the results, which mark a finished run.
    write_labels(&config.out, labels)?;
    execute(config, options, callbacks, &data.task, prepared)
}

fn write_labels(out: &Path, labels: Option<&LabelSet>) -> Result<()> {
    if let Some(labels) = labels {
        let names: Vec<&str> = labels.names().collect();
        peft_core::file::write_atomic(
            &out.join(LABELS_FILE),
            serde_json::to_string(&names)?.as_bytes(),
        )?;
    }
    Ok(())
}
