//! What a base model's `config.json` says about the layers of an adapter.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use peft_core::{AdapterSpec, Site};
use peft_models::{
    CausalLm, Family, ImageClassifier, ModelConfig, ModelError, ModelKind, causal_lm_sites,
    classifier_sites, encoder_sites, image_classifier_sites,
};

use crate::commands::inspect::report::Report;

/// The layers of a model, as classifier and as bare encoder; or why they are not known.
#[derive(Debug)]
pub(super) struct ModelSites {
    known: Result<Known, ModelError>,
}

#[derive(Debug)]
struct Known {
    /// With its head.
    classifier: Vec<Site>,
    /// Without; empty for models that are only used with it.
    encoder: Vec<Site>,
    /// Path of the output layer.
    output: String,
}

impl ModelSites {
    /// The layers that `config` describes.
    ///
    /// # Errors
    /// A configuration that cannot be read. One of an unsupported model is no error: it is said in every verdict.
    pub(super) fn of(config: ModelConfig) -> Result<Self> {
        let known = (|| {
            Ok(match ModelKind::of(&config) {
                ModelKind::Causal => Known {
                    classifier: causal_lm_sites(&config)?,
                    encoder: vec![],
                    output: CausalLm::HEAD.to_owned(),
                },
                ModelKind::Images => Known {
                    classifier: image_classifier_sites(&config)?,
                    encoder: vec![],
                    output: ImageClassifier::HEAD.to_owned(),
                },
                ModelKind::Texts => Known {
                    classifier: classifier_sites(&config)?,
                    encoder: encoder_sites(&config)?,
                    output: Family::of(&config)?.head.output.to_owned(),
                },
            })
        })();
        match known {
            Err(
                error
                @ (ModelError::UnsupportedModel { .. } | ModelError::UnsupportedOption { .. }),
            ) => Ok(Self { known: Err(error) }),
            known => Ok(Self { known: Ok(known?) }),
        }
    }

    /// Compares the layers of an adapter with those of the model: problems, and warnings.
    pub(super) fn compare(
        &self,
        report: &Report,
        spec: Option<&AdapterSpec>,
    ) -> (Vec<String>, Vec<String>) {
        let known = match &self.known {
            Ok(known) => known,
            Err(error) => {
                return (
                    vec![],
                    vec![format!("not compared with the model: {error}")],
                );
            }
        };
        let (sites, heads) = known.alike(report);
        let mut problems = sizes(report, sites);
        let mut warnings = Vec::new();
        match spec.map(|spec| spec.plan(sites, &heads)) {
            None => {}
            Some(Err(error)) => problems.push(error.to_string()),
            Some(Ok(plan)) => {
                let wanted: BTreeSet<&str> =
                    plan.sites.iter().map(|site| site.path.as_str()).collect();
                let found: BTreeSet<&str> =
                    report.sites.iter().map(|site| site.path.as_str()).collect();
                let missing = wanted.difference(&found);
                problems.extend(missing.map(|path| {
                    format!("`{path}`: the configuration selects this layer, the file has no tensors for it")
                }));
                warnings.extend(plan.unmatched.iter().map(ToString::to_string));
            }
        }
        (problems, warnings)
    }
}

impl Known {
    /// The classifier or the bare encoder, whichever has more of the adapter's layers; with the output heads.
    fn alike(&self, report: &Report) -> (&[Site], Vec<String>) {
        let common = |sites: &[Site]| {
            let paths: BTreeSet<&str> = sites.iter().map(|site| site.path.as_str()).collect();
            let adapted = report.sites.iter();
            adapted
                .filter(|site| paths.contains(site.path.as_str()))
                .count()
        };
        if common(&self.encoder) > common(&self.classifier) {
            (&self.encoder, vec![])
        } else {
            (&self.classifier, vec![self.output.clone()])
        }
    }
}

/// Layers that the model lacks or that have another size there.
fn sizes(report: &Report, sites: &[Site]) -> Vec<String> {
    let sites: BTreeMap<&str, &Site> = sites
        .iter()
        .map(|site| (site.path.as_str(), site))
        .collect();
    let problem = |adapted: &crate::commands::inspect::report::SiteReport| {
        let path = &adapted.path;
        let Some(site) = sites.get(path.as_str()) else {
            return Some(format!("`{path}`: the model has no such layer"));
        };
        let found = (adapted.d_in?, adapted.d_out?);
        (found != (site.d_in, site.d_out)).then(|| {
            format!(
                "`{path}`: the model's layer is {} x {}, the adapter's {} x {}",
                site.d_in, site.d_out, found.0, found.1
            )
        })
    };
    report.sites.iter().filter_map(problem).collect()
}
