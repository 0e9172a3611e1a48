//! Opening a model for use, with or without an adapter.

mod base;
mod classifiers;
mod labels;
mod language;
mod numbering;

use burn::tensor::Device;
use peft_core::{Adaptable, AdapterSpec, AttachReport, PeftError, folder, select_adapters};
use peft_models::Loaded;
use peft_models::hf::HeadLabels;
use peft_train::data::LabelSet;
use peft_train::task::Classifier;

use crate::adapter_arg::{AdapterArg, BASE, WeightArg, unknown_adapter};
use crate::error::Context;
use crate::registry::METHODS;
use crate::{Error, LabelError, Result};

pub use base::Base;
pub use classifiers::OpenClassifier;
use labels::named_labels;
pub use labels::{
    ends_in, is_decoder, known_labels, labels_in_adapter, labels_in_folder, read_labels,
};
pub use language::{OpenedCausal, answering_causal, causal};
pub use numbering::{Numbering, number};
use numbering::{by_names, common};

/// Field of config.json that holds the number of tokens.
pub const VOCABULARY: &str = "vocab_size";

/// Loads a classifier.
///
/// # Errors
/// When the folder is no model that can be read.
pub fn classifier<'a, M: OpenClassifier>(
    base: impl Into<Base<'a>>,
    head: impl Into<HeadLabels>,
    seed: u64,
    device: &Device,
) -> Result<Loaded<M>> {
    let base = base.into();
    let config = base.configuration()?;
    Ok(M::load(config, base.dir, head.into(), seed, device)?)
}

/// An adapter in an opened model.
#[derive(Debug)]
pub struct OpenedAdapter {
    /// Its name.
    pub name: String,
    /// Label names, where a file beside the adapter has them.
    labels: Option<LabelSet>,
}

/// A model that answers, with its labels.
#[derive(Debug)]
pub struct Answering<M> {
    /// The model and its names; the last adapter is active.
    pub loaded: Loaded<M>,
    /// The adapters in it.
    pub adapters: Vec<OpenedAdapter>,
    /// Label names of the model's own configuration.
    labels: Option<LabelSet>,
}

/// Opens a classifier with any number of adapter folders for evaluation.
///
/// # Errors
/// When a folder does not load, or they do not fit each other.
pub fn answering<'a, M: OpenClassifier>(
    base: impl Into<Base<'a>>,
    adapters: &[AdapterArg],
    device: &Device,
) -> Result<Answering<M>> {
    let base = base.into();
    let first = adapters.first();
    let outputs = first.map(|adapter| labels_in_adapter(base.dir, &adapter.dir));
    let outputs = outputs.transpose()?.flatten();
    let loaded = classifier::<M>(base, outputs, 0, device)?;
    if adapters.is_empty() && !loaded.fresh.is_empty() {
        return Err(Error::Labels(LabelError::NoHead {
            model: base.dir.to_owned(),
            missing: loaded.fresh,
        }));
    }
    let labels = named_labels(&loaded.config)?;
    let labels = labels.filter(|labels| labels.len() == loaded.model.outputs());
    let loaded = add_all(loaded, adapters)?;
    let opened = adapters.iter().map(|adapter| {
        let own = read_labels(&adapter.dir)?;
        // Data may give the ids of a head that was trained further, as they may those of the model itself.
        let labels = own.map(|own| match &labels {
            Some(labels) if labels.names().eq(own.names()) => own.with_ids(),
            _ => own,
        });
        Ok(OpenedAdapter {
            name: adapter.name.clone(),
            labels: labels.filter(|labels| labels.len() == loaded.model.outputs()),
        })
    });
    let opened = opened.collect::<Result<_>>()?;
    Ok(Answering {
        loaded,
        adapters: opened,
        labels,
    })
}

/// Loads adapter folders into a model, one after the other; none may follow one that changes the base.
fn add_all<M: Adaptable>(mut loaded: Loaded<M>, adapters: &[AdapterArg]) -> Result<Loaded<M>> {
    let mut reports: Vec<AttachReport> = Vec::with_capacity(adapters.len());
    for adapter in adapters {
        let earlier = adapters.iter().zip(&reports);
        for (other, report) in earlier {
            if let Some(parameter) = report.changed.first() {
                return Err(PeftError::ChangesBase {
                    name: other.name.clone(),
                    parameter: parameter.clone(),
                }
                .into());
            }
        }
        let (with, added) = add(loaded, adapter)?;
        loaded = with;
        reports.push(added.report);
    }
    Ok(loaded)
}

/// What an adapter folder said, and what became of it.
#[derive(Debug)]
pub struct Added {
    /// What the folder asks for.
    pub spec: AdapterSpec,
    /// Where it was attached.
    pub report: AttachReport,
}

/// Loads one adapter folder into a model. Where the adapter brings a vocabulary of another size, the model and its configuration get it.
///
/// # Errors
/// When the folder does not load, or does not fit.
pub fn add<M: Adaptable>(loaded: Loaded<M>, adapter: &AdapterArg) -> Result<(Loaded<M>, Added)> {
    let dir = adapter.dir.display();
    let Loaded {
        model,
        names,
        mut config,
        fresh,
        ignored,
    } = loaded;
    let adapted = folder::load(model, &names, &adapter.name, METHODS, &adapter.dir)
        .with_context(|| format!("adapter {dir}"))?;
    for field in &adapted.unknown_fields {
        log::warn!("{dir}: unknown field `{field}` ignored");
    }
    let still_fresh: Vec<&String> = fresh
        .iter()
        .filter(|name| !adapted.report.saved.contains(name))
        .collect();
    if !still_fresh.is_empty() {
        log::warn!(
            "{dir}: neither the model nor the adapter has {still_fresh:?}; these weights are random"
        );
    }
    if let Some(tokens) = adapted.vocabulary {
        let before = config.usize(VOCABULARY)?;
        log::info!("{dir}: a vocabulary of {tokens} tokens in place of the model's {before}");
        config = config.with_field(VOCABULARY, tokens.into());
    }
    let loaded = Loaded {
        model: adapted.model,
        names,
        config,
        fresh,
        ignored,
    };
    let added = Added {
        spec: adapted.spec,
        report: adapted.report,
    };
    Ok((loaded, added))
}

impl<M: Classifier> Answering<M> {
    /// The label names that go with an adapter, or with the base.
    #[must_use]
    pub fn labels<'a>(&'a self, adapter: Option<&'a OpenedAdapter>) -> Option<&'a LabelSet> {
        let own = adapter.and_then(|adapter| adapter.labels.as_ref());
        own.or(self.labels.as_ref())
    }

    /// The labels to compare with a data file: the adapter's or the model's own, else those of the file in sorted
    /// order.
    ///
    /// # Errors
    /// When the file has another number of labels than the model.
    pub fn labels_for(
        &self,
        adapter: Option<&OpenedAdapter>,
        of_file: impl FnOnce() -> Result<LabelSet>,
    ) -> Result<Option<LabelSet>> {
        if self.loaded.model.outputs() == 1 {
            return Ok(None);
        }
        if let Some(own) = self.labels(adapter) {
            // What is wrong with the labels of the file is reported with the lines of the examples.
            let spelt = of_file().ok().and_then(|found| by_names(own, &found));
            return Ok(Some(spelt.unwrap_or_else(|| own.clone())));
        }
        let labels = of_file()?;
        let unnamed = LabelSet::from_names(self.loaded.config.labels().to_vec())?;
        if let Some(labels) = common(&unnamed, &labels)
            && labels.len() == self.loaded.model.outputs()
        {
            return Ok(Some(labels));
        }
        if labels.len() != self.loaded.model.outputs() {
            return Err(Error::Labels(LabelError::Unnamed {
                outputs: self.loaded.model.outputs(),
                labels: labels.len(),
            }));
        }
        log::info!(
            "the model names no labels; taking those of the data in sorted order: {}",
            labels.names().collect::<Vec<_>>().join(", ")
        );
        Ok(Some(labels))
    }

    /// Name of an output.
    #[must_use]
    pub fn label(&self, adapter: Option<&OpenedAdapter>, output: usize) -> String {
        let named = self.labels(adapter).and_then(|labels| labels.name(output));
        named.map_or_else(|| output.to_string(), str::to_owned)
    }

    /// The adapter called `name`; `None` for the base.
    ///
    /// # Errors
    /// When there is none with that name.
    pub fn adapter(&self, name: &str) -> Result<Option<&OpenedAdapter>> {
        if name == BASE {
            return Ok(None);
        }
        let found = self.adapters.iter().find(|adapter| adapter.name == name);
        let Some(found) = found else {
            let known = self.adapters.iter().map(|known| known.name.as_str());
            return Err(unknown_adapter(name, known));
        };
        Ok(Some(found))
    }

    /// The names of the adapters, for messages.
    #[must_use]
    pub fn names(&self) -> String {
        let names: Vec<&str> = self
            .adapters
            .iter()
            .map(|known| known.name.as_str())
            .collect();
        names.join(", ")
    }

    /// The model with the sum of these adapters active, and the first of them, whose label names apply.
    ///
    /// # Errors
    /// When there is none with a name.
    pub fn with_sum(
        &self,
        first: &WeightArg,
        terms: &[WeightArg],
    ) -> Result<(M, Option<&OpenedAdapter>)> {
        let weights: Vec<(&str, f64)> = terms
            .iter()
            .map(|term| (term.name.as_str(), term.weight))
            .collect();
        Ok((self.with_active(&weights)?, self.adapter(&first.name)?))
    }

    /// The model with exactly these adapters active.
    ///
    /// # Errors
    /// When it has none of a name.
    pub fn with_active(&self, weights: &[(&str, f64)]) -> Result<M> {
        Ok(select_adapters(self.loaded.model.clone(), weights)?)
    }
}
