//! What a base model's `config.json` says about the layers of an adapter.

use std::collections::{BTreeMap, BTreeSet};

use peft_core::{AdapterSpec, Site};
use peft_models::{
    CausalLm, DecoderClassifier, Family, ImageClassifier, ModelConfig, ModelError, ModelKind,
    causal_lm_sites, classifier_sites, decoder_classifier_sites, encoder_sites,
    image_classifier_sites, image_classifier_sites_in_transformers_5,
};

use super::reading::Findings;
use crate::Result;
use crate::report::Report;

/// The layers of a model in each of its forms; or why they are not known.
#[derive(Debug)]
pub(super) struct ModelSites {
    known: Result<Vec<Form>, ModelError>,
}

/// A model with one head, or bare; or with the other names of its layers.
#[derive(Debug)]
struct Form {
    sites: Vec<Site>,
    /// Paths of the output layers.
    heads: Vec<String>,
}

impl Form {
    fn new(sites: Vec<Site>, head: &str) -> Self {
        Self {
            sites,
            heads: vec![head.to_owned()],
        }
    }

    /// How many layers of an adapter it has, and whether the adapter saves its head.
    fn likeness(&self, report: &Report, spec: Option<&AdapterSpec>) -> (usize, bool) {
        let paths: BTreeSet<&str> = self.sites.iter().map(|site| site.path.as_str()).collect();
        let adapted = report.sites.iter();
        let common = adapted.filter(|site| paths.contains(site.path.as_str()));
        let saved = spec.is_some_and(|spec| {
            let mut heads = self.heads.iter();
            heads.any(|head| spec.modules_to_save.contains(head))
        });
        (common.count(), saved)
    }
}

impl ModelSites {
    /// The layers that `config` describes.
    ///
    /// # Errors
    /// A configuration that cannot be read. One of an unsupported model is no error: it is said in every verdict.
    pub(super) fn of(config: ModelConfig) -> Result<Self> {
        match forms(&config) {
            Err(
                error
                @ (ModelError::UnsupportedModel { .. } | ModelError::UnsupportedOption { .. }),
            ) => Ok(Self { known: Err(error) }),
            known => Ok(Self { known: Ok(known?) }),
        }
    }

    /// Compares the layers of an adapter with those of the model.
    pub(super) fn compare(&self, report: &Report, spec: Option<&AdapterSpec>) -> Findings {
        let mut findings = Findings::default();
        let known = match &self.known {
            Ok(known) => known,
            Err(error) => {
                findings
                    .problems
                    .push(format!("the model cannot be used: {error}"));
                return findings;
            }
        };
        let likest = known.iter().max_by_key(|form| form.likeness(report, spec));
        let Some(Form { sites, heads }) = likest else {
            return findings;
        };
        let mut problems = sizes(report, sites);
        let mut warnings = Vec::new();
        match spec.map(|spec| spec.plan(sites, heads)) {
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
        Findings {
            problems,
            warnings,
            notes: vec![],
        }
    }
}

/// Every form of the model; of two that are alike, an adapter is compared with the later one.
fn forms(config: &ModelConfig) -> Result<Vec<Form>, ModelError> {
    Ok(match ModelKind::of(config) {
        ModelKind::Causal | ModelKind::DecoderTexts => vec![
            bare(causal_lm_sites(config)?),
            Form::new(decoder_classifier_sites(config)?, DecoderClassifier::HEAD),
            Form::new(causal_lm_sites(config)?, CausalLm::HEAD),
        ],
        ModelKind::Images => vec![
            Form::new(
                image_classifier_sites_in_transformers_5(config)?,
                ImageClassifier::HEAD,
            ),
            Form::new(image_classifier_sites(config)?, ImageClassifier::HEAD),
        ],
        ModelKind::Texts => {
            let bare = Form {
                sites: encoder_sites(config)?,
                heads: vec![],
            };
            let output = Family::of(config)?.head.output;
            vec![bare, Form::new(classifier_sites(config)?, output)]
        }
    })
}

/// The layers of a decoder's body, without its name.
fn bare(sites: Vec<Site>) -> Form {
    let body = sites.into_iter().filter(|site| site.path != CausalLm::HEAD);
    let bare = body.map(|site| match site.path.split_once('.') {
        Some((_, path)) => Site::new(path, site.d_in, site.d_out).with_kind(site.kind),
        None => site,
    });
    Form {
        sites: bare.collect(),
        heads: vec![],
    }
}

/// Layers that the model lacks or that have another size there.
fn sizes(report: &Report, sites: &[Site]) -> Vec<String> {
    let sites: BTreeMap<&str, &Site> = sites
        .iter()
        .map(|site| (site.path.as_str(), site))
        .collect();
    let problem = |adapted: &crate::report::SiteReport| {
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
