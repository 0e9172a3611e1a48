//! A run that goes on from an adapter folder: what nobody set is as in the folder.

use std::path::Path;

use peft_core::file::{PeftConfig, read_folder};
use peft_core::folder::{self, Reading};
use peft_core::target::{ALL_LINEAR, Selector, Target, is_saved_module};
use peft_core::{Adaptable, AdapterSpec, MethodEntry, ParamNames};

use crate::Result;
use crate::error::Context;
use crate::hub;
use crate::registry::METHODS;
use crate::run::ADAPTER;
use crate::settings::set;

/// Task type of folders that hold a language model's adapter.
const CAUSAL: &str = "CAUSAL_LM";

/// What PEFT calls the heads of tasks.
const HEADS: [&str; 3] = ["classifier", "score", "qa_outputs"];

/// Fills in, below `adapter`, what the folder that `adapter.start` names says and no setting does.
///
/// # Errors
/// A folder that cannot be read, or whose method is not known.
pub fn fill(table: &mut toml::Table) -> Result<()> {
    let adapter = table.get("adapter").and_then(toml::Value::as_table);
    let given = adapter.cloned().unwrap_or_default();
    let Some(start) = given.get("start").and_then(toml::Value::as_str) else {
        return Ok(());
    };
    let dir = hub::folder(Path::new(start))?;
    // So that the hub is asked once.
    if let Some(found) = dir.to_str() {
        set(table, "adapter.start", found.into())?;
    }
    let starting = || format!("starting from {}", dir.display());
    let config = read_folder(&dir).with_context(starting)?.config;
    let asked = given.get("method").and_then(toml::Value::as_str);
    if asked.is_some_and(|method| ["full", "head"].contains(&method)) {
        return Ok(());
    }
    let found = found(&config, asked, is_causal(table)).with_context(starting)?;
    log::info!(
        "starting from {}: method, rank {}, alpha {}, targets and patterns as there, where no setting says otherwise",
        dir.display(),
        config.r,
        config.lora_alpha
    );
    for (key, value) in found {
        if !has(&given, &key) {
            set(table, &format!("adapter.{key}"), value)?;
        }
    }
    Ok(())
}

/// Reads the folder; gives the model its vocabulary, and the adapter the layers that the folder holds whole though its `modules_to_save` names
/// none of them: they train on like those that are named.
///
/// # Errors
/// A folder that does not suit the model.
pub fn make_room<M: Adaptable>(
    model: &mut M,
    names: &ParamNames,
    spec: &mut AdapterSpec,
    from: &Path,
) -> Result<Reading> {
    let reading = folder::read(model, names, ADAPTER, METHODS, from)
        .with_context(|| format!("starting from {}", from.display()))?;
    if let Some(tokens) = reading.vocabulary {
        model.resize_vocabulary(tokens);
    }
    let mut copied = reading.spec.copied_modules.clone();
    copied.retain(|module| !is_saved_module(module, &spec.modules_to_save));
    spec.copied_modules = copied;
    Ok(reading)
}

/// Whether the run trains a language model, whose only saved modules are those of the folder.
fn is_causal(table: &toml::Table) -> bool {
    table.get("task").and_then(toml::Value::as_str) == Some("causal-lm")
}

/// Whether a dotted key is set below `table`.
fn has(table: &toml::Table, key: &str) -> bool {
    match key.split_once('.') {
        None => table.contains_key(key),
        Some((head, rest)) => {
            let inner = table.get(head).and_then(toml::Value::as_table);
            inner.is_some_and(|inner| has(inner, rest))
        }
    }
}

/// The settings below `adapter` that make the folder's adapter; the options of its method only for that method.
fn found(
    config: &PeftConfig,
    asked: Option<&str>,
    causal: bool,
) -> Result<Vec<(String, toml::Value)>> {
    let method = MethodEntry::find(METHODS, config)?;
    let id = method.entry().id;
    let mut settings = vec![
        ("method".to_owned(), toml::Value::from(id)),
        ("rank".to_owned(), whole(config.r)),
        ("alpha".to_owned(), config.lora_alpha.into()),
        ("bias".to_owned(), config.bias.as_str().into()),
    ];
    settings.extend(sites(config));
    let task = config.task_type.as_deref();
    // PEFT names every usual head of a task, of which a model has one: the task's own. The head of another task is no head of this one.
    let only_heads = (config.modules_to_save.iter()).all(|name| HEADS.contains(&name.as_str()));
    if !only_heads && task.is_none_or(|task| (task == CAUSAL) == causal) {
        let saved = config.modules_to_save.clone().into();
        settings.push(("modules_to_save".to_owned(), saved));
    }
    if asked.is_none_or(|asked| asked == id) {
        // TOML has no null, which is what an option is that is not there.
        let options = method.options().into_iter();
        for (name, value) in options.filter(|(_, value)| !value.is_null()) {
            settings.push((format!("options.{name}"), toml::Value::try_from(value)?));
        }
    }
    Ok(settings)
}

/// Which layers are adapted, and the ranks and alphas of single ones.
fn sites(config: &PeftConfig) -> Vec<(String, toml::Value)> {
    let targets = match &config.target {
        None => None,
        Some(Target::List(names)) => Some(names.clone().into()),
        Some(Target::Regex(text)) => Some(text.as_str().into()),
        Some(Target::AllLinear) => Some(ALL_LINEAR.into()),
    };
    let exclude = match &config.exclude {
        None => None,
        Some(Selector::List(names)) => Some(names.clone().into()),
        Some(Selector::Regex(text)) => Some(text.as_str().into()),
    };
    let layers = config.layers_to_transform.as_ref();
    let layers = layers.map(|layers| layers.iter().map(|at| whole(*at)).collect());
    let ranks = config.rank_pattern.iter();
    let ranks = ranks.map(|(name, rank)| (name.clone(), whole(*rank)));
    let alphas = config.alpha_pattern.iter();
    let alphas = alphas.map(|(name, alpha)| (name.clone(), toml::Value::from(*alpha)));
    [
        ("targets", targets),
        ("exclude", exclude),
        ("layers", layers.map(toml::Value::Array)),
        ("layers_pattern", Some(config.layers_pattern.clone().into())),
        ("rank_pattern", Some(toml::Value::Table(ranks.collect()))),
        ("alpha_pattern", Some(toml::Value::Table(alphas.collect()))),
    ]
    .into_iter()
    .filter_map(|(key, value)| Some((key.to_owned(), value?)))
    .collect()
}

fn whole(number: usize) -> toml::Value {
    toml::Value::Integer(number as i64)
}
