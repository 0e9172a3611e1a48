//! What a method has to see of the data before it trains, where it does: batches of the run's own.

use burn::module::Module;
use peft_core::file::read_config;
use peft_core::{Adaptable, ParamNames, attach};
use peft_train::task::{Task, survey};
use peft_train::{Checkpoints, TrainedAdapter};

use super::{ADAPTER, Part, RunFolder};
use crate::error::Context;
use crate::settings::RunConfig;
use crate::{Result, device};

/// Makes trainable what the settings say, as [`super::make_trainable`] does; an adapter is the one that follows from what its method sees, where
/// there is something to see. A run that goes on has the layers and ranks of its last checkpoint.
///
/// # Errors
/// A batch that does not fit the model, or what the method makes of the data.
pub(super) fn make_trainable<T: Task>(
    config: &RunConfig,
    folder: &RunFolder<'_>,
    task: &T,
    (base, names, head_modules): (T::Model, &ParamNames, &[String]),
) -> Result<(T::Model, Part)> {
    let (model, part) = super::make_trainable(config, base.clone(), names, head_modules)?;
    let Part::Adapter(adapter) = &part else {
        return Ok((model, part));
    };
    let spec = &adapter.spec;
    let sites = spec.plan(&model.sites(), &model.output_heads())?.sites;
    let Some(mut sees) = spec.method.survey(&sites, config.train.seed) else {
        return Ok((model, part));
    };
    // Another adapter's values are a start already.
    if config.adapter.start.is_some() {
        return Ok((model, part));
    }
    let spec = match last_checkpoint(config, folder)? {
        Some(dir) => spec.clone().sized_as(&read_config(&dir)?),
        None => {
            let device = device::open(device::first(&config.device))?;
            let looking = || format!("looking at the data for {}", spec.method.entry().name);
            log::info!("{}", looking());
            let model = model.valid();
            survey(task, &model, &config.train, &device, sees.as_mut()).with_context(looking)?;
            let found = sees.found().with_context(looking)?;
            let ranks = found.sites.iter().map(|site| site.rank);
            log::info!(
                "{} of {} layers get an adapter, of ranks {} to {}",
                found.sites.len(),
                sites.len(),
                ranks.clone().min().unwrap_or_default(),
                ranks.max().unwrap_or_default()
            );
            spec.clone().surveyed(found)
        }
    };
    let (model, _) = attach(base, names, ADAPTER, &spec, config.train.seed)?;
    let adapter = TrainedAdapter {
        names: names.clone(),
        spec,
        name: ADAPTER.into(),
    };
    Ok((model, Part::Adapter(Box::new(adapter))))
}

/// Where a run that goes on goes on from.
fn last_checkpoint(
    config: &RunConfig,
    folder: &RunFolder<'_>,
) -> Result<Option<std::path::PathBuf>> {
    if !folder.resumes() {
        return Ok(None);
    }
    let checkpoints = Checkpoints::new(&config.out, 1);
    Ok(checkpoints
        .steps()?
        .pop()
        .map(|step| checkpoints.path(step)))
}
