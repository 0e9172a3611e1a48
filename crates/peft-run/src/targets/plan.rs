//! What a run would train, without attaching anything.

use std::collections::HashMap;

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::tensor::Tensor;
use peft_core::target::is_saved_module;
use peft_core::{Adaptable, AttachedSite, ParameterCount, param_id};
use peft_models::{Loaded, ModelConfig, SequenceClassifier};
use peft_train::data::{LabelSet, Targets};

use super::Unmatched;
use super::alternatives::alternatives;
use super::memory::{Activations, MemoryEstimate, Parameters, Weights};
use crate::Result;
use crate::any_model::{self, AnyModel, Opened};
use crate::causal_data::Files;
use crate::companions::Companions;
use crate::data::TextInput;
use crate::settings::{RunConfig, TaskKind};
use crate::{adapter_spec, data, device, image_data, memory, open};

/// What a run would train.
#[derive(Debug)]
pub(super) struct Plan {
    /// Layers that would be adapted.
    pub sites: Vec<AttachedSite>,
    /// Base parameters that would train as a whole, sorted.
    pub saved: Vec<String>,
    /// Target entries that match no layer.
    pub unmatched: Vec<Unmatched>,
    /// Parameters that would train, and all.
    pub parameters: ParameterCount,
    /// What the run would hold in memory.
    pub memory: MemoryEstimate,
}

/// Plans the run that `config` describes, and what would make it smaller. Of the model's matrices the sizes are read alone.
///
/// # Errors
/// When the model cannot be read, the method is unknown, or the targets select nothing.
pub(super) fn make(config: &RunConfig) -> Result<Plan> {
    let device = device::open(device::first(&config.device))?;
    let outputs = outputs(config)?;
    let config = with_length(config)?;
    let planned = |config: &RunConfig| {
        let base = config.base().sizes_alone();
        plan(
            config,
            &any_model::open(base, outputs, config.train.seed, &device)?,
        )
    };
    let mut made = planned(&config)?;
    let memory = &mut made.memory;
    memory.alternatives = alternatives(&config, memory.total, |config| {
        Ok(planned(config)?.memory.total)
    })?;
    memory.available = memory::available();
    Ok(made)
}

/// How many outputs the head gets, as far as the settings tell; else what the model's configuration says.
fn outputs(config: &RunConfig) -> Result<Option<usize>> {
    match config.task {
        TaskKind::CausalLm => Ok(None),
        TaskKind::Regression => Ok(Some(1)),
        TaskKind::SeqCls | TaskKind::ImageCls if config.data.train.as_os_str().is_empty() => {
            // A decoder without a number of outputs would be a language model.
            let model = ModelConfig::read(config.model_dir())?;
            let is_decoder = open::is_decoder(config.model_dir())?;
            Ok(is_decoder.then(|| model.num_labels()))
        }
        TaskKind::ImageCls => Ok(Some(image_data::prepare(config)?.task.objective.outputs())),
        TaskKind::SeqCls => {
            let table = data::table(&config.data, &config.data.train)?;
            Ok(Some(LabelSet::fit(&table, &config.data.roles)?.len()))
        }
    }
}

fn plan(config: &RunConfig, opened: &Opened) -> Result<Plan> {
    let loaded = &opened.loaded;
    let head_modules = opened.head_modules.clone();
    let mut sites = Vec::new();
    let mut unmatched = Vec::new();
    let saved_modules = match config.adapter.method.as_str() {
        "full" => None,
        "head" => Some(head_modules),
        _ => {
            let spec = adapter_spec::build(config, &head_modules)?;
            let report = spec.plan(&loaded.model.sites(), &loaded.model.output_heads())?;
            sites = report.sites;
            unmatched.extend(report.unmatched.into_iter().map(|unmatched| Unmatched {
                entry: unmatched.entry,
                near: unmatched.near,
            }));
            Some(spec.modules_to_save)
        }
    };
    let sizes = Sizes::of(&loaded.model);
    let mut saved = Vec::new();
    let mut saved_size = 0;
    for (id, name, _) in loaded.names.iter() {
        let size = match &saved_modules {
            None => sizes.0.get(&id).copied(),
            Some(modules) => size_of(id, &loaded.model, &sizes).filter(|_| is_saved(name, modules)),
        };
        if let Some(size) = size {
            saved.push(name.to_owned());
            saved_size += size;
        }
    }
    saved.sort();
    let copies = if sites.is_empty() {
        0
    } else {
        copied(loaded, &saved, &sizes)
    };
    let base: usize = sizes.0.values().sum();
    let adapter: usize = sites.iter().map(|site| site.trainable).sum();
    let activations = Activations::of(&loaded.model, config, &sites, &saved);
    let parameters = Parameters {
        adapter: adapter + copies,
        trainable: adapter + saved_size,
    };
    let memory = MemoryEstimate::new(config, Weights::of(&loaded.model), parameters, &activations);
    Ok(Plan {
        sites,
        saved,
        unmatched,
        parameters: ParameterCount {
            trainable: parameters.trainable,
            total: base + parameters.adapter,
        },
        memory,
    })
}

/// Values of a parameter; those of a tied output layer, which an adapter trains as a layer of its own, are the table's.
fn size_of(id: ParamId, model: &AnyModel, sizes: &Sizes) -> Option<usize> {
    let tied = model
        .tied()
        .map(|tied| tied.weights().map(|name| param_id(&name)));
    let id = match tied {
        Some([table, output]) if output == id => table,
        _ => id,
    };
    sizes.0.get(&id).copied()
}

/// Parameters of saved layers, which an adapter trains as copies beside the base; `head` and `full` train the base.
fn copied(loaded: &Loaded<AnyModel>, saved: &[String], sizes: &Sizes) -> usize {
    let sites = loaded.model.sites();
    let names = sites
        .iter()
        .flat_map(|site| ["weight", "bias"].map(|tensor| format!("{}.{tensor}", site.path)));
    names
        .filter(|name| saved.contains(name))
        .filter_map(|name| size_of(param_id(&name), &loaded.model, sizes))
        .sum()
}

/// Whether the parameter belongs to one of the modules trained as a whole.
fn is_saved(parameter: &str, modules: &[String]) -> bool {
    let module = above(parameter).unwrap_or(parameter);
    std::iter::successors(Some(module), |path| above(path))
        .any(|path| is_saved_module(path, modules))
}

/// The path without its last segment.
fn above(path: &str) -> Option<&str> {
    path.rsplit_once('.').map(|(above, _)| above)
}

/// Number of values of every parameter.
struct Sizes(HashMap<ParamId, usize>);

impl Sizes {
    fn of<M: Module>(model: &M) -> Self {
        let mut sizes = Self(HashMap::new());
        model.visit(&mut sizes);
        sizes
    }
}

impl ModuleVisitor for Sizes {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0.insert(param.id, param.lazy_shape().num_elements());
    }
}

/// The settings with the length of the longest row, where that follows from the data.
fn with_length(config: &RunConfig) -> Result<RunConfig> {
    let mut config = config.clone();
    let data = &config.data;
    if config.task == TaskKind::ImageCls || data.max_length.is_some() || !data.train.exists() {
        return Ok(config);
    }
    let companions = Companions::of_run(&config)?;
    let longest = if config.task == TaskKind::CausalLm {
        let rows = Files::new(&companions, data)?.rows(&data.train, data.limit)?;
        rows.rows.iter().map(|row| row.ids.len()).max()
    } else {
        let input = TextInput::<SequenceClassifier>::read(data, &data.train, &companions)?;
        let (_, tokens) = input.tokenize(&input.examples(Targets::Unknown)?)?;
        Some(tokens.longest.min(tokens.max_length))
    };
    config.data.max_length = longest;
    Ok(config)
}

#[cfg(test)]
mod tests;
