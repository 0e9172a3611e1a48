//! A run that trains a classifier of texts or images, or a regression.

use peft_train::task::TextSet;

use super::{Prepared, RunFolder, RunResult, execute};
use crate::Result;
use crate::data::PreparedData;
use crate::open::OpenClassifier;
use crate::settings::RunConfig;
use crate::watch::Watch;
use crate::{data, device, image_data, open};

/// Trains on texts, and returns the model that the run ends with, on its autodiff device.
///
/// # Errors
/// As [`super::train`].
pub fn train_texts<M: OpenClassifier<Set = TextSet>>(
    config: &RunConfig,
    folder: &RunFolder<'_>,
    watch: &mut dyn Watch,
) -> Result<(RunResult, M)> {
    train(config, folder, watch, data::prepare(config)?)
}

/// Trains on images.
///
/// # Errors
/// As [`super::train`].
pub(super) fn train_images(
    config: &RunConfig,
    folder: &RunFolder<'_>,
    watch: &mut dyn Watch,
) -> Result<RunResult> {
    Ok(train(config, folder, watch, image_data::prepare(config)?)?.0)
}

fn train<M: OpenClassifier>(
    config: &RunConfig,
    folder: &RunFolder<'_>,
    watch: &mut dyn Watch,
    data: PreparedData<M>,
) -> Result<(RunResult, M)> {
    let device = device::open(device::first(&config.device))?.autodiff();
    let labels = data.labels.as_ref();
    let seed = config.train.seed;
    let mut loaded = open::classifier::<M>(config.base(), data.head, seed, &device)?;
    let names = labels.map(|labels| labels.names().map(str::to_owned).collect::<Vec<String>>());
    if let Some(names) = &names {
        loaded.config = loaded.config.with_labels(names);
    }
    let prepared = Prepared {
        examples: data.examples,
        account: data.account,
        head_modules: M::head_modules(&loaded),
        loaded,
        data: data.rows,
        labels: names,
    };
    execute(config, folder, watch, &data.task, prepared)
}
