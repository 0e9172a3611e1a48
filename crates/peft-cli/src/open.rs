//! Opening a model for use, with or without an adapter.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use burn::tensor::Device;
use peft_core::file::read_folder;
use peft_core::{AdapterSpec, folder};
use peft_models::{Family, Loaded, ModelConfig, SequenceClassifier, load_classifier_with};
use peft_train::data::{LabelSet, Roles, Table};

use crate::registry::METHODS;
use crate::run::{ADAPTER, LABELS_FILE};

/// Fields of config.json that hold dropout probabilities of the base model.
const DROPOUTS: &[&str] = &[
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "classifier_dropout",
    "dropout",
    "attention_dropout",
    "seq_classif_dropout",
];

/// Loads a classifier; `dropout`, when given, replaces every dropout probability of the base model.
///
/// # Errors
/// When the folder is no model that can be read.
pub fn classifier(
    model: &Path,
    num_labels: Option<usize>,
    dropout: Option<f64>,
    seed: u64,
    device: &Device,
) -> Result<Loaded<SequenceClassifier>> {
    let mut config = ModelConfig::read(model)?;
    if let Some(dropout) = dropout {
        for field in DROPOUTS
            .iter()
            .filter(|field| config.raw().contains_key(**field))
            .collect::<Vec<_>>()
        {
            config = config.with_field(field, dropout.into());
        }
    }
    Ok(load_classifier_with(
        config, model, num_labels, seed, device,
    )?)
}

/// A model that answers, with its labels.
#[derive(Debug)]
pub struct Answering {
    /// The model and its names.
    pub loaded: Loaded<SequenceClassifier>,
    /// The adapter in it.
    pub spec: Option<AdapterSpec>,
    /// Label names, where a file beside the adapter or the model's configuration has them.
    pub labels: Option<LabelSet>,
}

/// Opens a model with an optional adapter folder for evaluation.
///
/// # Errors
/// When either does not load, or they do not fit each other.
pub fn answering(model: &Path, adapter: Option<&PathBuf>, device: &Device) -> Result<Answering> {
    let num_labels = adapter
        .map(|dir| labels_in_adapter(model, dir))
        .transpose()?
        .flatten();
    let loaded = classifier(model, num_labels, None, 0, device)?;
    let Some(dir) = adapter else {
        if !loaded.fresh.is_empty() {
            bail!(
                "{} has no trained head ({} missing) and no --adapter brings one",
                model.display(),
                loaded.fresh.join(", ")
            );
        }
        let labels = named_labels(&loaded.config)?;
        return Ok(Answering {
            loaded,
            spec: None,
            labels,
        });
    };
    let fresh = loaded.fresh.clone();
    let adapted = folder::load(loaded.model, &loaded.names, ADAPTER, METHODS, dir)
        .with_context(|| format!("adapter {}", dir.display()))?;
    for field in &adapted.unknown_fields {
        eprintln!(
            "warning: {}: unknown field `{field}` passed over",
            dir.display()
        );
    }
    let still_fresh: Vec<&String> = fresh
        .iter()
        .filter(|name| !adapted.report.saved.contains(name))
        .collect();
    if !still_fresh.is_empty() {
        eprintln!(
            "warning: neither the model nor the adapter has {still_fresh:?}; these weights are random"
        );
    }
    let loaded = Loaded {
        model: adapted.model,
        ..loaded
    };
    let labels = match read_labels(dir)? {
        Some(labels) => Some(labels),
        None => named_labels(&loaded.config)?,
    };
    let labels = labels.filter(|labels| labels.len() == loaded.model.num_labels());
    Ok(Answering {
        loaded,
        spec: Some(adapted.spec),
        labels,
    })
}

impl Answering {
    /// The labels to compare with a data file: the model's own, else those of the file in sorted order.
    ///
    /// # Errors
    /// When the file has labels that the model does not know, or another number of them.
    pub fn labels_for(&self, table: &Table, roles: &Roles) -> Result<Option<LabelSet>> {
        if self.loaded.model.num_labels() == 1 {
            return Ok(None);
        }
        if let Some(labels) = &self.labels {
            return Ok(Some(labels.clone()));
        }
        let labels = LabelSet::fit(table, roles)?;
        if labels.len() != self.loaded.model.num_labels() {
            bail!(
                "the model has {} outputs without names, the data {} labels; put the label names, in the order of \
                 the outputs, as a JSON list into {LABELS_FILE} beside the adapter",
                self.loaded.model.num_labels(),
                labels.len()
            );
        }
        eprintln!(
            "the model names no labels; taking those of the data in sorted order: {}",
            labels.names().collect::<Vec<_>>().join(", ")
        );
        Ok(Some(labels))
    }

    /// Name of an output.
    #[must_use]
    pub fn label(&self, output: usize) -> String {
        let named = self.labels.as_ref().and_then(|labels| labels.name(output));
        named.map_or_else(|| output.to_string(), str::to_owned)
    }
}

/// How many outputs the head saved in an adapter folder has.
fn labels_in_adapter(model: &Path, dir: &Path) -> Result<Option<usize>> {
    let config = ModelConfig::read(model)?;
    let family = Family::of(&config)?;
    let folder = read_folder(dir).with_context(|| format!("adapter {}", dir.display()))?;
    let wanted = format!("{}.weight", family.head.output);
    Ok(folder
        .tensors
        .iter()
        .find(|(key, _)| key.as_str() == wanted || key.ends_with(&format!(".{wanted}")))
        .and_then(|(_, tensor)| tensor.shape.first().copied()))
}

fn read_labels(dir: &Path) -> Result<Option<LabelSet>> {
    let path = dir.join(LABELS_FILE);
    if !path.exists() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("cannot read {}", path.display()))?;
    let names: Vec<String> = serde_json::from_str(&text)
        .with_context(|| format!("{}: expected a JSON list of label names", path.display()))?;
    Ok(Some(LabelSet::from_names(names)?))
}

/// Labels of the configuration, unless they are placeholders such as `LABEL_0`.
fn named_labels(config: &ModelConfig) -> Result<Option<LabelSet>> {
    let labels = config.labels();
    let placeholder = labels
        .iter()
        .enumerate()
        .all(|(id, name)| *name == format!("LABEL_{id}"));
    if placeholder {
        return Ok(None);
    }
    Ok(Some(LabelSet::from_names(labels.to_vec())?))
}
