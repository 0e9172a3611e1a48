//! From the settings of a run to what is attached.

use peft_core::folder::CACHE_FOLDER;
use peft_core::target::{Selector, Target, TargetRules};
use peft_core::{AdapterSpec, Naming};
use peft_models::{ModelConfig, default_targets};

use crate::registry::{self, METHODS};
use crate::settings::{Names, RunConfig, TaskKind};
use crate::{Error, Result};

/// Builds the specification of the adapter that `config` asks for; `head_modules` are trained with it.
///
/// # Errors
/// An unknown method, an option or a target that is none, an adapter to start from that cannot be read.
pub fn build(config: &RunConfig, head_modules: &[String]) -> Result<AdapterSpec> {
    let adapter = &config.adapter;
    let Some(entry) = registry::find(&adapter.method) else {
        let known: Vec<&str> = METHODS.iter().map(|entry| entry.id).collect();
        return Err(Error::Usage(format!(
            "unknown method `{}`; expected one of {}, head, full (see `peft methods`)",
            adapter.method,
            known.join(", ")
        )));
    };
    Ok(AdapterSpec {
        method: (entry.from_options)(&adapter.options)?,
        rank: adapter.rank,
        alpha: config.alpha(),
        targets: TargetRules {
            target: targets(config)?,
            exclude: adapter.exclude.as_ref().map(selector),
            layers_to_transform: adapter.layers.clone(),
            layers_pattern: adapter.layers_pattern.clone(),
        },
        rank_pattern: adapter.rank_pattern.clone(),
        alpha_pattern: adapter.alpha_pattern.clone(),
        modules_to_save: adapter
            .modules_to_save
            .clone()
            .unwrap_or_else(|| head_modules.to_vec()),
        copied_modules: Vec::new(),
        naming: Naming::default(),
        bias: adapter.bias,
        task_type: task_type(config.task).map(str::to_owned),
        base_model: Some(config.base_name()),
        revision: config.commit(),
        cache: Some(config.out.join(CACHE_FOLDER)),
    })
}

/// PEFT's name of the task; it has none for images.
fn task_type(task: TaskKind) -> Option<&'static str> {
    match task {
        TaskKind::SeqCls | TaskKind::Regression => Some("SEQ_CLS"),
        TaskKind::CausalLm => Some("CAUSAL_LM"),
        TaskKind::ImageCls => None,
    }
}

fn targets(config: &RunConfig) -> Result<Target> {
    match &config.adapter.targets {
        Some(names) => Ok(names.target()),
        None => {
            let model = ModelConfig::read(config.model_dir())?;
            let unknown = || Error::NoDefaultTargets {
                model_type: model.model_type().to_owned(),
            };
            let names = default_targets(model.model_type()).ok_or_else(unknown)?;
            Ok(Target::List(
                names.iter().map(|name| (*name).to_owned()).collect(),
            ))
        }
    }
}

fn selector(names: &Names) -> Selector {
    match names {
        Names::List(names) => Selector::List(names.clone()),
        Names::Text(pattern) => Selector::Regex(pattern.clone()),
    }
}
