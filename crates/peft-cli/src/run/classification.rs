//! A run that trains a classifier of texts or images, or a regression.

use std::path::Path;

use anyhow::Result;
use peft_train::Callback;
use peft_train::data::LabelSet;
use peft_train::task::TextSet;

use super::{LABELS_FILE, Prepared, RunOptions, RunResult, check_paths, claim_directory, execute};
use crate::data::PreparedData;
use crate::open::OpenClassifier;
use crate::run_config::RunConfig;
use crate::{data, device, image_data, open};

/// Trains on texts, and returns the model that the run ends with, on its autodiff device.
///
/// # Errors
/// As [`super::train`].
pub fn train_texts<M: OpenClassifier<Set = TextSet>>(
    config: &RunConfig,
    options: RunOptions,
    callbacks: Vec<Box<dyn Callback + '_>>,
) -> Result<(RunResult, M)> {
    check_paths(config)?;
    train(config, options, callbacks, data::prepare(config)?)
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
    Ok(train(config, options, callbacks, image_data::prepare(config)?)?.0)
}

fn train<M: OpenClassifier>(
    config: &RunConfig,
    options: RunOptions,
    callbacks: Vec<Box<dyn Callback + '_>>,
    data: PreparedData<M>,
) -> Result<(RunResult, M)> {
    let device = device::open(&config.device)?.autodiff();
    let _claim = claim_directory(config, options)?;
    let labels = data.labels.as_ref();
    let (dropout, seed) = (config.base_dropout, config.train.seed);
    let mut loaded = open::classifier::<M>(config.model_dir(), data.head, dropout, seed, &device)?;
    if let Some(labels) = labels {
        let names: Vec<String> = labels.names().map(str::to_owned).collect();
        loaded.config = loaded.config.with_labels(&names);
    }
    let prepared = Prepared {
        examples: data.examples,
        account: data.account,
        head_modules: M::head_modules(&loaded),
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
