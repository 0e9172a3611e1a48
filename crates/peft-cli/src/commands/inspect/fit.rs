//! How an adapter folder fits a base model.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;
use peft_core::file::AdapterFolder;
use peft_core::{Adaptable, PeftError, folder};
use peft_models::{Family, ModelConfig};
use serde::Serialize;

use super::report::Report;
use crate::registry::METHODS;
use crate::run::ADAPTER;
use crate::{device, open};

/// How an adapter folder fits a base model.
#[derive(Debug, Serialize)]
pub(in crate::commands) struct Fit {
    /// The base model's folder.
    pub(super) model: std::path::PathBuf,
    /// Whether the adapter loads.
    pub(super) loads: bool,
    /// Every reason why it does not: missing, unexpected and misshaped tensors by name.
    pub(super) problems: Vec<String>,
    /// Layers that the configuration selects and the file says nothing of.
    pub(super) missing_sites: Vec<String>,
    /// Layers of the file that the configuration does not select in this model.
    pub(super) unexpected_sites: Vec<String>,
    /// Target entries that match nothing, with names that look like them.
    pub(super) unmatched_targets: Vec<String>,
}

impl Fit {
    /// Loads the adapter into the model and collects what does not fit.
    ///
    /// # Errors
    /// When the model itself does not load.
    pub(super) fn check(
        model: &Path,
        adapter: &Path,
        contents: &AdapterFolder,
        report: &Report,
    ) -> Result<Self> {
        let family = Family::of(&ModelConfig::read(model)?)?;
        let head = format!("{}.weight", family.head.output);
        let outputs = report
            .other_tensors
            .iter()
            .find(|tensor| tensor.name == head);
        let outputs = outputs.and_then(|tensor| tensor.shape.first().copied());
        let loaded = open::classifier(model, outputs, None, 0, &device::open("auto")?)?;
        let mut fit = Self {
            model: model.to_owned(),
            loads: true,
            problems: vec![],
            missing_sites: vec![],
            unexpected_sites: vec![],
            unmatched_targets: vec![],
        };
        let planned = folder::spec_of(METHODS, &contents.config)
            .and_then(|spec| spec.plan(&loaded.model.sites(), &loaded.model.output_heads()));
        if let Ok(plan) = planned {
            let wanted: BTreeSet<&str> = plan.sites.iter().map(|site| site.path.as_str()).collect();
            let found: BTreeSet<&str> =
                report.sites.iter().map(|site| site.path.as_str()).collect();
            let owned = |path: &&str| (*path).to_owned();
            fit.missing_sites = wanted.difference(&found).map(owned).collect();
            fit.unexpected_sites = found.difference(&wanted).map(owned).collect();
            fit.unmatched_targets = plan.unmatched.iter().map(ToString::to_string).collect();
        }
        if let Err(error) = folder::load(loaded.model, &loaded.names, ADAPTER, METHODS, adapter) {
            fit.loads = false;
            fit.problems = match error {
                PeftError::Mismatch { problems, .. } | PeftError::Unsupported { problems } => {
                    problems
                }
                other => vec![other.to_string()],
            };
        }
        Ok(fit)
    }
}
