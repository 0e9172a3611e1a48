//! A run that trains a language model.

use peft_models::CausalLm;
use peft_train::task::{CausalTask, Prompts};

use super::{Prepared, RunFolder, RunResult, execute};
use crate::data::perplexity_alone;
use crate::settings::RunConfig;
use crate::watch::Watch;
use crate::{Error, Result};
use crate::{causal_data, device, open};

/// Trains, and returns the model that the run ends with, on its autodiff device.
///
/// # Errors
/// As [`super::train`].
pub(super) fn train_model(
    config: &RunConfig,
    folder: &RunFolder<'_>,
    watch: &mut dyn Watch,
) -> Result<(RunResult, CausalLm)> {
    if config.adapter.method == "head" {
        return Err(Error::Usage(
            "method `head` trains a classification head, which a language model does not have; take an adapter or full".into()
        ));
    }
    perplexity_alone(
        &config.metrics,
        config.positive.as_deref(),
        "metrics, positive",
    )?;
    let device = device::open(device::first(&config.device))?.autodiff();
    let rows = causal_data::RunRows::read(config)?;
    let account = rows.account();
    let loaded = open::causal(config.base(), &device)?;
    let prompts = prompts(
        config,
        &rows.files,
        loaded.model.decoder.config().max_positions,
    )?;
    let task = CausalTask {
        train: rows.train.rows,
        valid: rows.valid.map(|valid| valid.rows),
        eval_batch_size: config.train.eval_batch_size,
        prompts,
    };
    let prepared = Prepared {
        examples: task.train.len(),
        account,
        head_modules: vec![],
        loaded,
        labels: None,
        data: task.train.iter().map(|row| format!("{row:?}\n")).collect(),
    };
    execute(config, folder, watch, &task, prepared)
}

/// The prompts that were asked for; refuses those that could not be continued before anything trains.
fn prompts(
    config: &RunConfig,
    files: &causal_data::Files,
    positions: usize,
) -> Result<Option<Prompts>> {
    if config.data.sample_prompts.is_empty() {
        return Ok(None);
    }
    let prompts = files.prompts(
        config.data.sample_prompts.clone(),
        config.data.sample_tokens,
    )?;
    if prompts.longest() > positions {
        return Err(Error::Usage(format!(
            "data.sample_prompts: the longest takes {} tokens with its answer, the model has {positions} positions; shorten it or \
             data.sample_tokens",
            prompts.longest()
        )));
    }
    if !config.data.has_validation() {
        return Err(Error::Usage(
            "data.sample_prompts are continued after every evaluation, for which --valid is missing".into()
        ));
    }
    Ok(Some(prompts))
}
