//! Adapters of a model to and from adapter folders that Hugging Face PEFT also reads.

mod copies;
mod naming;
mod places;
mod reading;
mod start;
mod stored;

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use burn::module::ParamId;
use peft_format::SiteKind;
use serde_json::Value;

use crate::active::adapter_names;
use crate::adaptable::Adaptable;
use crate::attach::{AttachReport, place};
use crate::base_params::BiasTraining;
use crate::error::PeftError;
use crate::fields;
use crate::file::{self, AdapterFolder, FileError, HostTensor, PeftConfig, TensorKey};
use crate::method::MethodEntry;
use crate::names::{Naming, ParamNames};
use crate::site_layout::TensorShape;
use crate::spec::AdapterSpec;
use crate::target::{Target, expand_all_linear};

pub(crate) use places::{Place, adapter_places, fill};
pub use reading::{Reading, read};
pub use start::start;

/// Folder inside an adapter folder with what was computed from the base's frozen weights ([`AdapterSpec::cache`]). Only used where it is
/// there already: a folder from elsewhere gets no such files.
pub const CACHE_FOLDER: &str = "cache";

/// What PEFT calls the frozen layer inside an adapted one; biases of adapted layers and tables are saved under it.
const BASE_LAYER: &str = ".base_layer";

/// A model with an adapter read from a folder.
#[derive(Debug)]
pub struct Loaded<M> {
    /// The model; the adapter is active.
    pub model: M,
    /// What the folder's configuration means here.
    pub spec: AdapterSpec,
    /// Where it was attached.
    pub report: AttachReport,
    /// Configuration fields that nobody here knows; they were ignored.
    pub unknown_fields: Vec<String>,
    /// How many tokens the model has now, where the adapter brought tables of another size ([`Adaptable::resize_vocabulary`]).
    pub vocabulary: Option<usize>,
}

/// Writes the adapter called `name`, with the modules saved beside it, as an adapter folder, which is made where it does not exist.
///
/// # Errors
/// When the folder cannot be written; a file that was there before stays whole.
pub fn save<M: Adaptable>(
    model: &M,
    names: &ParamNames,
    name: &str,
    spec: &AdapterSpec,
    dir: &Path,
) -> Result<(), PeftError> {
    let spec = spec.stored();
    let tensors = places::tensors(model, names, name, &spec)?;
    if spec.naming == Naming::default() {
        return write(model, &spec, &tensors, dir);
    }
    let tensors = naming::foreign_keys(tensors, names, spec.naming)?;
    let spec = naming::foreign_spec(&spec, names, &model.sites(), &model.output_heads())?;
    write(model, &spec, &tensors, dir)
}

fn write<M: Adaptable>(
    model: &M,
    spec: &AdapterSpec,
    tensors: &BTreeMap<String, HostTensor>,
    dir: &Path,
) -> Result<(), PeftError> {
    let mut config = config_of(model, spec)?;
    let fields = spec.method.fields_beside(&config);
    if spec.bias == BiasTraining::LoraOnly
        && let Some(peft_type) = fields.get("peft_type").and_then(Value::as_str)
    {
        // PEFT calls it by the method: `vera_only`.
        config.bias = format!("{}_only", peft_type.to_lowercase());
    }
    file::disk::create_dir_all(dir).map_err(|source| FileError::Io {
        action: "create the folder",
        path: dir.to_owned(),
        source,
    })?;
    Ok(file::write_folder(dir, &config.to_map(&fields), tensors)?)
}

/// Reads an adapter folder and attaches it as `name`, with the values of the file.
///
/// # Errors
/// Everything that is wrong with the folder, or every tensor that does not fit the model, in one report.
pub fn load<M: Adaptable>(
    mut model: M,
    names: &ParamNames,
    name: &str,
    entries: &[&'static MethodEntry],
    dir: &Path,
) -> Result<Loaded<M>, PeftError> {
    let Reading {
        mut spec,
        folder,
        vocabulary,
    } = reading::read(&model, names, name, entries, dir)?;
    if let Some(tokens) = vocabulary {
        if !adapter_names(&model).is_empty() {
            return Err(PeftError::OtherVocabulary {
                adapter: name.to_owned(),
                tokens,
            });
        }
        model.resize_vocabulary(tokens);
    }
    spec.cache = Some(dir.join(CACHE_FOLDER)).filter(|cache| cache.is_dir());
    check_size(&model, name, &spec, &folder)?;
    let (model, report) = place(model, names, name, &spec, 0)?;
    let model = stored::fill(model, names, name, &spec, &folder)?;
    Ok(Loaded {
        model,
        unknown_fields: unknown_fields(&folder.config, &spec),
        spec,
        report,
        vocabulary,
    })
}

/// Refuses a configuration that asks for far more parameters than the file has, before anything is allocated for them.
fn check_size<M: Adaptable>(
    model: &M,
    name: &str,
    spec: &AdapterSpec,
    folder: &AdapterFolder,
) -> Result<(), PeftError> {
    const SMALL: usize = 1 << 24;
    let plan = spec.plan(&model.sites(), &model.output_heads())?;
    let common = spec.method.common(&plan.sites)?;
    let asked = plan.sites.iter().map(|site| site.trainable);
    let frozen = common.iter().filter(|tensor| !tensor.name.trains);
    let asked = asked.chain(frozen.map(TensorShape::size));
    let asked = asked.fold(0, usize::saturating_add);
    let held: usize = folder
        .tensors
        .values()
        .map(|tensor| tensor.data.len())
        .sum();
    if asked <= held.saturating_mul(16).saturating_add(SMALL) {
        return Ok(());
    }
    Err(PeftError::Mismatch {
        adapter: name.to_owned(),
        problems: vec![format!(
            "adapter_config.json asks for {asked} parameters (rank {}), the file has {held} values",
            spec.rank
        )],
    })
}

/// Puts the values of an adapter folder into the adapter called `name`, which is attached already.
///
/// # Errors
/// Everything that is wrong with the folder, or every tensor that does not fit the model, in one report.
pub fn restore<M: Adaptable>(
    model: M,
    names: &ParamNames,
    name: &str,
    spec: &AdapterSpec,
    dir: &Path,
) -> Result<M, PeftError> {
    let folder = file::read_folder(dir)?;
    file::check_finite(&folder.tensors)?;
    stored::fill(model, names, name, spec, &folder)
}

/// What a folder's configuration asks for.
///
/// # Errors
/// When no method recognises it, or it uses what cannot be read exactly.
pub fn spec_of(
    entries: &[&'static MethodEntry],
    config: &PeftConfig,
) -> Result<AdapterSpec, PeftError> {
    // First of all: what follows has a meaning in methods that are known.
    let method = MethodEntry::find(entries, config)?;
    let Some(targets) = config.target_rules() else {
        return Err(PeftError::Unsupported {
            problems: vec![
                "`target_modules` is missing: name the adapted modules in adapter_config.json"
                    .into(),
            ],
        });
    };
    Ok(AdapterSpec {
        method,
        rank: config.r,
        alpha: config.lora_alpha,
        targets,
        rank_pattern: config.rank_pattern.clone(),
        alpha_pattern: config.alpha_pattern.clone(),
        modules_to_save: config.modules_to_save.clone(),
        copied_modules: Vec::new(),
        naming: Naming::default(),
        bias: match config.bias.as_str() {
            "all" => BiasTraining::All,
            "lora_only" => BiasTraining::LoraOnly,
            _ => BiasTraining::None,
        },
        task_type: config.task_type.clone(),
        base_model: config.base_model_name_or_path.clone(),
        revision: config.revision.clone(),
        cache: None,
    })
}

/// Fields that neither PEFT's configurations nor the method that reads this one have.
fn unknown_fields(config: &PeftConfig, spec: &AdapterSpec) -> Vec<String> {
    let own = spec.method.config_fields();
    let unknown = config.unknown.iter();
    unknown
        .filter(|field| !own.contains_key(*field))
        .cloned()
        .collect()
}

fn config_of<M: Adaptable>(model: &M, spec: &AdapterSpec) -> Result<PeftConfig, PeftError> {
    let sites = model.sites();
    let target = match &spec.targets.target {
        Target::AllLinear => {
            let heads = model.output_heads();
            let heads: Vec<&str> = heads.iter().map(String::as_str).collect();
            let selection = spec.targets.select(&sites, &heads, &spec.modules_to_save)?;
            Target::List(expand_all_linear(&sites, &selection.matched)?)
        }
        other => other.clone(),
    };
    let mut config = PeftConfig::new("", target);
    config.task_type.clone_from(&spec.task_type);
    config.base_model_name_or_path.clone_from(&spec.base_model);
    config.revision.clone_from(&spec.revision);
    spec.ranks().describe(&mut config);
    config.alpha_field = spec.method.alpha_field();
    config.exclude.clone_from(&spec.targets.exclude);
    config
        .layers_to_transform
        .clone_from(&spec.targets.layers_to_transform);
    config
        .layers_pattern
        .clone_from(&spec.targets.layers_pattern);
    config.modules_to_save.clone_from(&spec.modules_to_save);
    config.bias = match spec.bias {
        BiasTraining::None => "none",
        BiasTraining::All => "all",
        BiasTraining::LoraOnly => "lora_only",
    }
    .to_owned();
    config.fan_in_fan_out = sites.iter().any(|site| site.kind == SiteKind::Conv1d);
    Ok(config)
}

/// Tensors of the adapter called `name` in file orientation; parameters in `skip` (followers of a tie group) are left out.
pub fn adapter_tensors<M: Adaptable>(
    model: &M,
    name: &str,
    skip: &HashSet<ParamId>,
) -> BTreeMap<TensorKey, HostTensor> {
    let mut tensors = BTreeMap::new();
    model.visit_linears(&mut |linear| {
        let Some(adapter) = linear.adapter(name) else {
            return;
        };
        let stored = adapter.stored();
        let adapter = stored.as_ref().unwrap_or(adapter);
        let fields = fields::read(adapter);
        for tensor in adapter.tensors() {
            if let Some(field) = fields.get(&*tensor.field)
                && !skip.contains(&field.id)
            {
                let key = linear.key_of(&tensor);
                tensors.insert(key, field.to_file(tensor.layout));
            }
        }
    });
    tensors
}
