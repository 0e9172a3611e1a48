//! How an adapter folder fits a base model.

use std::collections::BTreeSet;
use std::path::Path;

use burn::tensor::{FloatDType, Tensor};
use peft_core::file::AdapterFolder;
use peft_core::{Adaptable, AdaptedLinear, Fact, PeftError, folder};
use serde::Serialize;

use super::Report;
use crate::Result;
use crate::registry::METHODS;
use crate::run::ADAPTER;
use crate::{any_model, device, open};

/// How an adapter folder fits a base model.
#[derive(Debug, Serialize)]
pub struct Fit {
    /// The base model's folder.
    pub model: std::path::PathBuf,
    /// Whether the adapter loads.
    pub loads: bool,
    /// Every reason why it does not: missing, unexpected and misshaped tensors by name.
    pub problems: Vec<String>,
    /// Layers that the configuration selects and the file says nothing of.
    pub missing_sites: Vec<String>,
    /// Layers of the file that the configuration does not select in this model.
    pub unexpected_sites: Vec<String>,
    /// What the adapter does to each layer of this model; empty when it does not load.
    pub changes: Vec<SiteChange>,
    /// Target entries that match nothing, with names that look like them.
    pub unmatched_targets: Vec<String>,
}

/// What an adapter does to one layer.
#[derive(Debug, Serialize)]
pub struct SiteChange {
    /// Path of the layer.
    pub path: String,
    /// `||W' - W||_F / ||W||_F`; null where no single weight reproduces the adapter.
    pub weight: Option<f64>,
    /// The method's own numbers.
    pub facts: Vec<Fact>,
}

impl Fit {
    /// Loads the adapter into the model and collects what does not fit.
    ///
    /// # Errors
    /// When the model itself does not load.
    pub fn check(
        model: &Path,
        adapter: &Path,
        contents: &AdapterFolder,
        report: &Report,
    ) -> Result<Self> {
        let outputs = open::labels_in_folder(model, contents)?;
        let loaded = any_model::open(model, outputs, 0, &device::open("auto")?)?.loaded;
        let mut fit = Self {
            model: model.to_owned(),
            loads: true,
            problems: vec![],
            missing_sites: vec![],
            unexpected_sites: vec![],
            unmatched_targets: vec![],
            changes: vec![],
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
        match folder::load(loaded.model, &loaded.names, ADAPTER, METHODS, adapter) {
            Ok(adapted) => adapted.model.visit_linears(&mut |linear| {
                fit.changes.extend(SiteChange::of(linear));
            }),
            Err(error) => {
                fit.loads = false;
                fit.problems = match error {
                    PeftError::Mismatch { problems, .. } | PeftError::Unsupported { problems } => {
                        problems
                    }
                    other => vec![other.to_string()],
                };
            }
        }
        Ok(fit)
    }
}

impl SiteChange {
    /// What the adapter does to a layer, if it is there.
    fn of(linear: &AdaptedLinear) -> Option<Self> {
        let adapter = linear.adapter(ADAPTER)?;
        let weight = linear.weight.val().cast(FloatDType::F32);
        let norm = |matrix: Tensor<2>| {
            let values: Vec<f32> = peft_core::read(matrix).iter::<f32>().collect();
            super::norm(&values)
        };
        let effective = adapter.effective_weight(weight.clone()).ok();
        Some(Self {
            path: linear.site().path.clone(),
            weight: effective.map(|effective| {
                norm(effective - weight.clone()) / norm(weight.clone()).max(f64::MIN_POSITIVE)
            }),
            facts: adapter.facts(weight),
        })
    }
}
