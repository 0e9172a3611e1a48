//! A model folder merged with an adapter folder: written aside, read again, compared with base and adapter, and only then put in place.

#[cfg(test)]
mod agreement;
mod gguf;

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use peft_core::file::{FileError, disk, remove_file, together};
use peft_core::merge::{MergedSite, merge};
use peft_core::values::named_tensors;
use peft_core::{Adaptable, TiedOutput, param_id, select_adapters};
use peft_gguf::GgmlType;
use peft_models::ModelConfig;
use peft_models::hf::{FloatDtype, HostTensors, TensorArchive, save_model};
use serde::Serialize;

use crate::adapter_arg::AdapterArg;
use crate::any_model;
use crate::companions::Companions;
use crate::error::Context;
use crate::open;
use crate::out_folder;
use crate::probe::Answers;
use crate::{Error, MergeError, Result};

/// Weight files that a reader would take before the one that is written.
const STALE: [&str; 2] = [
    "model.safetensors.index.json",
    "pytorch_model.bin.index.json",
];

/// What to merge, where to and how.
#[derive(Debug)]
pub struct Merging<'a> {
    /// Folder of the base model.
    pub model: &'a Path,
    /// Folder of the adapter.
    pub adapter: &'a Path,
    /// Folder whose tokenizer, chat template and so on the merged model gets; those beside the adapter, or the model's, when absent.
    pub tokenizer: Option<&'a Path>,
    /// Model folder to write; claimed by the caller.
    pub out: &'a Path,
    /// What is written.
    pub format: Format,
    /// Largest difference that is written; by the number type when absent ([`tolerance`]).
    pub tolerance: Option<f32>,
    /// Where the outputs are computed.
    pub device: &'a Device,
}

/// What a merged model is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A folder of safetensors; the number type is that of the base when absent.
    Safetensors(Option<FloatDtype>),
    /// A GGUF file with its matrices in this format, and a Modelfile for Ollama.
    Gguf(GgmlType),
}

/// What a merge did.
#[derive(Debug, Serialize)]
pub struct MergeResult {
    /// Folder that was written.
    pub out: PathBuf,
    /// Largest difference of an output between the merged model, as it was written, and base plus adapter, relative to the largest output.
    pub largest_output_difference: f32,
    /// The difference up to which a merge is written.
    pub tolerance: f32,
    /// The same between base plus adapter and the base: what the adapter changes.
    pub effect: f32,
    /// Largest change of a weight.
    pub largest_change: f32,
    /// Whether the output layer was the word table before and has a weight of its own now.
    pub untied: bool,
    /// Each merged layer.
    pub sites: Vec<MergedSite>,
}

/// Largest difference of a whole model's outputs after rounding its weights to this type: sums in another order for 32 bits, half a unit in
/// the last place of each weight, over the depth of a model, for 16.
#[must_use]
pub fn tolerance(dtype: FloatDtype) -> f32 {
    match dtype {
        FloatDtype::F32 | FloatDtype::F64 => 1e-3,
        FloatDtype::F16 => 2e-2,
        FloatDtype::Bf16 => 1e-1,
    }
}

/// Merges the adapter folder into the model and writes the model folder.
///
/// # Errors
/// When a folder cannot be read or written, the adapter does not fit the model, or the merged model answers otherwise than base and adapter;
/// then nothing is written.
pub fn merge_folder(merging: &Merging<'_>) -> Result<MergeResult> {
    let device = merging.device;
    let adapter = AdapterArg::only(merging.adapter);
    let outputs = open::labels_in_adapter(merging.model, &adapter.dir)?;
    let loaded = any_model::open(merging.model, outputs, 0, device)?.loaded;
    let tied = loaded.model.tied();
    let (loaded, added) = open::add(loaded, &adapter)?;
    let adapted = Answers::of(&loaded.model, device)?;
    check_finite(&adapted, &adapter)?;
    let without = select_adapters(loaded.model.clone(), &[])?;
    let effect = Answers::of(&without, device)?.difference(&adapted);
    drop(without);
    let merged = merge(loaded.model)?;
    let sites = merged.sites.clone();
    let model = merged.into_model();
    // The base is read again from its folder and only what changed is replaced, so that nothing else is touched.
    let changed = sites.iter().flat_map(MergedSite::parameters);
    let own = added.report.saved.iter().chain(&added.report.changed);
    let mut keep: HashSet<_> = own.map(|name| param_id(name)).collect();
    keep.extend(changed.map(|name| param_id(&name)));
    let tied = tied.filter(|_| model.tied().is_none());
    keep.extend(
        tied.iter()
            .flat_map(TiedOutput::weights)
            .map(|name| param_id(&name)),
    );
    let mut tensors = named_tensors(&model, &loaded.names, |id| keep.contains(&id));
    drop(model);
    let untied = tied.is_some_and(|tied| differ(&mut tensors, &tied));
    let config = match outputs {
        Some(_) => with_labels(&adapter, loaded.config, outputs)?,
        None => with_vocabulary(ModelConfig::read(merging.model)?, &loaded.config),
    };
    let config = if untied {
        no_longer_tied(config)
    } else {
        config
    };
    let written = Written::new(merging, &config, &tensors)?;
    drop(tensors);
    let allowed = merging.tolerance.unwrap_or(tolerance(written.dtype));
    let difference = adapted.difference(&answers_of(written.folder.path(), outputs, device)?);
    check(difference, allowed)?;
    let (difference, allowed) = match merging.format {
        Format::Safetensors(_) => {
            written.put_in_place(merging.out)?;
            (difference, allowed)
        }
        Format::Gguf(kind) => gguf::write(merging, written.folder.path(), kind, outputs, &adapted)?,
    };
    Ok(MergeResult {
        out: merging.out.to_path_buf(),
        largest_output_difference: difference,
        tolerance: allowed,
        effect,
        largest_change: sites.iter().map(|site| site.max_change).fold(0.0, f32::max),
        untied,
        sites,
    })
}

fn check_finite(adapted: &Answers, adapter: &AdapterArg) -> Result<()> {
    match adapted.are_finite() {
        true => Ok(()),
        false => Err(Error::Merge(MergeError::NotFinite {
            adapter: adapter.dir.clone(),
        })),
    }
}

/// Refuses a merged model that answers otherwise; a difference that is no number is one.
fn check(difference: f32, allowed: f32) -> Result<()> {
    match difference <= allowed {
        true => Ok(()),
        false => Err(Error::Merge(MergeError::Differs {
            difference,
            allowed,
        })),
    }
}

/// Whether the table and the output layer differ; where they do not, the output layer's copy is dropped.
fn differ(tensors: &mut HostTensors, tied: &TiedOutput) -> bool {
    let [table, output] = tied.weights();
    let differ = tensors.get(&table) != tensors.get(&output);
    if !differ {
        tensors.remove(&output);
    }
    differ
}

fn no_longer_tied(config: ModelConfig) -> ModelConfig {
    config.with_field("tie_word_embeddings", false.into())
}

/// The base's own configuration with the number of tokens of another one.
fn with_vocabulary(config: ModelConfig, of: &ModelConfig) -> ModelConfig {
    match of.raw().get(open::VOCABULARY) {
        Some(tokens) => config.with_field(open::VOCABULARY, tokens.clone()),
        None => config,
    }
}

fn with_labels(
    adapter: &AdapterArg,
    config: ModelConfig,
    outputs: Option<usize>,
) -> Result<ModelConfig> {
    let labels = open::read_labels(&adapter.dir)?.filter(|labels| outputs == Some(labels.len()));
    Ok(match labels {
        Some(labels) => {
            let names: Vec<String> = labels.names().map(str::to_owned).collect();
            config.with_labels(&names)
        }
        None => config,
    })
}

/// What a merged model answers when it is read from its folder.
fn answers_of(folder: &Path, outputs: Option<usize>, device: &Device) -> Result<Answers> {
    let loaded = any_model::open(folder, outputs, 0, device)
        .context("the merged model cannot be read again; nothing was written")?
        .loaded;
    Answers::of(&loaded.model, device)
}

/// A merged model beside its place.
struct Written {
    folder: tempfile::TempDir,
    dtype: FloatDtype,
}

impl Written {
    fn new(merging: &Merging<'_>, config: &ModelConfig, tensors: &HostTensors) -> Result<Self> {
        let Merging {
            model, out, format, ..
        } = *merging;
        let dtype = match format {
            Format::Safetensors(dtype) => dtype,
            // What is rounded to much fewer bits may be rounded to the base's own type before.
            Format::Gguf(GgmlType::F32 | GgmlType::F16 | GgmlType::Q8_0) => Some(FloatDtype::F32),
            Format::Gguf(_) => None,
        };
        disk::create_dir_all(out).map_err(FileError::io("create", out))?;
        let same = |dir: &Path| fs::canonicalize(dir).ok();
        if same(model) == same(out) {
            return Err(Error::Usage(format!(
                "{}: the base cannot be overwritten by the merged model; give another folder",
                out.display()
            )));
        }
        let folder = disk::folder_aside(out).map_err(FileError::io("create a folder in", out))?;
        save_model(model, folder.path(), config, tensors, dtype)?;
        let beside = Companions::new(model, &[merging.adapter], merging.tokenizer)?;
        beside.announced().carry(folder.path())?;
        let dtype = TensorArchive::open(folder.path())?.main_dtype();
        Ok(Self { folder, dtype })
    }

    /// Moves the files to their places, the configuration last.
    fn put_in_place(self, out: &Path) -> Result<()> {
        together(out, || self.exchange(out))
    }

    fn exchange(&self, out: &Path) -> Result<()> {
        for stale in STALE {
            remove_file(&out.join(stale))?;
        }
        out_folder::exchange(self.folder.path(), out)
    }
}
