//! A run that trains a classifier or a regression.

use anyhow::Result;
use burn::tensor::Device;
use peft_models::{Loaded, SequenceClassifier};
use peft_train::Callback;
use peft_train::data::LabelSet;
use peft_train::task::SequenceTask;

use super::{LABELS_FILE, Prepared, RunOptions, RunResult, check_paths, claim_directory, execute};
use crate::run_config::RunConfig;
use crate::{data, device};

/// Trains, and returns the model that the run ends with, on its autodiff device.
///
/// # Errors
/// As [`super::train`].
pub fn train_model(
    config: &RunConfig,
    options: RunOptions,
    callbacks: Vec<Box<dyn Callback + '_>>,
) -> Result<(RunResult, SequenceClassifier)> {
    check_paths(config)?;
    let device = device::open(&config.device)?.autodiff();
    let data = data::prepare(config)?;
    let _claim = claim_directory(config, options)?;
    let labels = data.labels.as_ref();
    let loaded = load(config, labels, &device)?;
    let head_modules = loaded.head_modules();
    let prepared = Prepared {
        examples: data.task.train.encoded.len(),
        truncated: data.truncated,
        head_modules,
        loaded,
        data: rows(&data.task),
    };
    // Before the results, which mark a finished run.
    write_labels(&config.out, labels)?;
    execute(config, options, callbacks, &data.task, prepared)
}

fn load(
    config: &RunConfig,
    labels: Option<&LabelSet>,
    device: &Device,
) -> Result<Loaded<SequenceClassifier>> {
    let num_labels = labels.map_or(1, LabelSet::len);
    let mut loaded = crate::open::classifier(
        &config.model,
        Some(num_labels),
        config.base_dropout,
        config.train.seed,
        device,
    )?;
    if let Some(labels) = labels {
        let names: Vec<String> = labels.names().map(str::to_owned).collect();
        loaded.config = loaded.config.with_labels(&names);
    }
    Ok(loaded)
}

/// What the fingerprint of a run says of its data.
fn rows(task: &SequenceTask) -> Vec<String> {
    let rows = task.train.encoded.iter().zip(&task.train.targets);
    rows.map(|(row, target)| format!("{:?}{:?}{target:?}\n", row.ids, row.type_ids))
        .collect()
}

fn write_labels(out: &std::path::Path, labels: Option<&LabelSet>) -> Result<()> {
    if let Some(labels) = labels {
        let names: Vec<&str> = labels.names().collect();
        peft_core::file::write_atomic(
            &out.join(LABELS_FILE),
            serde_json::to_string(&names)?.as_bytes(),
        )?;
    }
    Ok(())
}
