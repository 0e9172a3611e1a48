//! Whether a base model takes an adapter: the folder is loaded, asked and merged as every other verb would do it.

use std::cell::RefCell;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

use burn::module::{Module, ModuleMapper, Param, ParamId};
use burn::tensor::{Device, FloatDType, Tensor};
use peft_core::file::AdapterFolder;
use peft_core::merge::{MergedSite, merge};
use peft_core::{PeftError, causes, folder, param_id};
use peft_models::Loaded;
use peft_models::hf::{FloatDtype, TensorArchive};

use crate::Result;
use crate::any_model::{self, AnyModel};
use crate::merge::tolerance;
use crate::probe::Answers;
use crate::registry::METHODS;
use crate::run::ADAPTER;
use crate::{device, open};

/// What a model says of an adapter.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Why it cannot be used.
    pub problems: Vec<String>,
    /// What is probably not meant so.
    pub warnings: Vec<String>,
    /// What can be done with it all the same, or not.
    pub notes: Vec<String>,
}

/// A base model with its weights.
#[derive(Debug)]
pub(super) struct Base {
    dir: PathBuf,
    device: Device,
    /// The model that was opened last, and its number of outputs: most adapters of a report have one head.
    opened: RefCell<Option<(Option<usize>, Loaded<AnyModel>)>>,
}

impl Base {
    /// The model in a folder; `None` for one that holds a configuration alone.
    ///
    /// # Errors
    /// When there is no device.
    pub(super) fn new(dir: &Path) -> Result<Option<Self>> {
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        let has_weights = |entry: std::fs::DirEntry| {
            let path = entry.path();
            path.extension()
                .is_some_and(|ending| ending == "safetensors")
        };
        if !entries.into_iter().any(has_weights) {
            return Ok(None);
        }
        Ok(Some(Self {
            dir: dir.to_owned(),
            device: device::open("auto")?,
            opened: RefCell::new(None),
        }))
    }

    /// Tries the adapter in `dir`, whose files were read already.
    pub(super) fn judge(&self, dir: &Path, contents: &AdapterFolder) -> Findings {
        let mut findings = Findings::default();
        let loaded = match self.open(contents) {
            Ok(loaded) => loaded,
            Err(error) => {
                findings
                    .problems
                    .push(format!("the model cannot be used: {}", causes(&error)));
                return findings;
            }
        };
        let adapted = match folder::load(loaded.model, &loaded.names, ADAPTER, METHODS, dir) {
            Ok(adapted) => adapted,
            Err(PeftError::Mismatch { problems, .. } | PeftError::Unsupported { problems }) => {
                findings.problems = problems;
                return findings;
            }
            Err(error) => {
                findings.problems.push(error.to_string());
                return findings;
            }
        };
        let unmatched = adapted.report.unmatched.iter();
        findings.warnings.extend(unmatched.map(ToString::to_string));
        if let Some(tokens) = adapted.vocabulary {
            findings.notes.push(format!(
                "it brings a vocabulary of {tokens} tokens, which takes the place of the model's"
            ));
        }
        if let Err(problem) = self.use_and_merge(adapted.model, &mut findings) {
            findings.problems.push(causes(&problem));
        }
        findings
    }

    fn open(&self, contents: &AdapterFolder) -> Result<Loaded<AnyModel>> {
        let outputs = open::labels_in_folder(&self.dir, contents)?;
        let mut opened = self.opened.borrow_mut();
        if let Some((known, loaded)) = opened.as_ref()
            && *known == outputs
        {
            return Ok(loaded.clone());
        }
        let loaded = any_model::open(self.dir.as_path(), outputs, 0, &self.device)?.loaded;
        *opened = Some((outputs, loaded.clone()));
        Ok(loaded)
    }

    fn use_and_merge(&self, model: AnyModel, findings: &mut Findings) -> Result<()> {
        let adapted = Answers::of(&model, &self.device)?;
        if !adapted.are_finite() {
            let problem = "with the adapter the model's outputs are not finite";
            findings.problems.push(problem.into());
            return Ok(());
        }
        let merged = match merge(model) {
            Ok(merged) => merged,
            Err(error @ PeftError::NoEffectiveWeight { .. }) => {
                findings.notes.push(error.to_string());
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let mut agrees = |model: &AnyModel, dtype: FloatDtype, what: &str| -> Result<bool> {
            let merged = Answers::of(model, &self.device)?;
            let (difference, allowed) = (adapted.difference(&merged), tolerance(dtype));
            if difference <= allowed {
                return Ok(true);
            }
            findings.problems.push(format!(
                "merged{what}, the model's outputs differ by {difference:.3e} of the largest, more than {allowed:.0e}"
            ));
            Ok(false)
        };
        if !agrees(merged.model(), FloatDtype::F32, "")? {
            return Ok(());
        }
        let (dtype, what) = match TensorArchive::open(&self.dir)?.main_dtype() {
            FloatDtype::F16 => (FloatDtype::F16, " and rounded to the model's f16"),
            FloatDtype::Bf16 => (FloatDtype::Bf16, " and rounded to the model's bf16"),
            FloatDtype::F32 | FloatDtype::F64 => return Ok(()),
        };
        let mut rounding = Rounding::of(&merged.sites, dtype);
        agrees(&merged.into_model().map(&mut rounding), dtype, what)?;
        Ok(())
    }
}

/// Rounds the weights that a merge changed as writing them does.
struct Rounding {
    ids: HashSet<ParamId>,
    dtype: FloatDType,
}

impl Rounding {
    fn of(sites: &[MergedSite], dtype: FloatDtype) -> Self {
        Self {
            ids: sites
                .iter()
                .flat_map(MergedSite::parameters)
                .map(|name| param_id(&name))
                .collect(),
            dtype: match dtype {
                FloatDtype::Bf16 => FloatDType::BF16,
                _ => FloatDType::F16,
            },
        }
    }
}

impl ModuleMapper for Rounding {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if !self.ids.contains(&param.id) {
            return param;
        }
        let dtype = self.dtype;
        param.map(|weight| {
            let own = weight.dtype();
            weight.cast(dtype).cast(FloatDType::from(own))
        })
    }
}
