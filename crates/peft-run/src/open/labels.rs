//! What is known of the labels of a model and of an adapter.

use std::path::Path;

use peft_core::file::input::{CONFIG_LIMIT, read_plain_text};
use peft_core::file::{AdapterFolder, FileError, parse_key, read_folder};
use peft_models::hf::TensorArchive;
use peft_models::{DecoderClassifier, Family, ImageClassifier, ModelConfig, ModelKind};
use peft_train::data::LabelSet;

use crate::Result;
use crate::error::Context;
use crate::run::LABELS_FILE;

/// How many outputs the head saved in an adapter folder has.
///
/// # Errors
/// When the folder or the model's configuration cannot be read.
pub fn labels_in_adapter(model: &Path, dir: &Path) -> Result<Option<usize>> {
    let folder = read_folder(dir).with_context(|| format!("adapter {}", dir.display()))?;
    labels_in_folder(model, &folder)
}

/// As [`labels_in_adapter`], of a folder that was read already.
///
/// # Errors
/// When the model's configuration cannot be read.
pub fn labels_in_folder(model: &Path, folder: &AdapterFolder) -> Result<Option<usize>> {
    let head = head(model)?;
    let is_head = |raw: &str| {
        parse_key(raw, &[]).is_some_and(|key| key.tensor == "weight" && ends_in(&key.module, head))
    };
    Ok(folder
        .tensors
        .iter()
        .find(|(key, _)| is_head(key))
        .and_then(|(_, tensor)| tensor.shape.first().copied()))
}

/// How many outputs the trained head in the files of a model has; `None` where they hold no head.
///
/// # Errors
/// When the folder cannot be read.
pub(super) fn trained_outputs(model: &Path) -> Result<Option<usize>> {
    let weight = format!("{}.weight", head(model)?);
    let archive = TensorArchive::open(model)?;
    let mut entries = archive.entries();
    let found = entries.find(|(key, _)| ends_in(key, &weight));
    Ok(found.and_then(|(_, entry)| entry.shape().first().copied()))
}

/// Whether a path is `name`, or ends in it as whole parts.
pub fn ends_in(path: &str, name: &str) -> bool {
    path.strip_suffix(name)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// Name of the last layer of a classifier of this kind of model.
fn head(model: &Path) -> Result<&'static str> {
    let config = ModelConfig::read(model)?;
    Ok(match ModelKind::of(&config) {
        ModelKind::Causal | ModelKind::DecoderTexts => DecoderClassifier::HEAD,
        ModelKind::Images => ImageClassifier::HEAD,
        ModelKind::Texts => Family::of(&config)?.head.output,
    })
}

/// Whether a model folder holds a decoder, with or without a classification head.
///
/// # Errors
/// When its configuration cannot be read.
pub fn is_decoder(model: &Path) -> Result<bool> {
    let kind = ModelKind::of(&ModelConfig::read(model)?);
    Ok(matches!(kind, ModelKind::Causal | ModelKind::DecoderTexts))
}

/// Label names in a file beside an adapter.
///
/// # Errors
/// A file that is no list of names.
pub fn read_labels(dir: &Path) -> Result<Option<LabelSet>> {
    let path = dir.join(LABELS_FILE);
    if !path.exists() {
        return Ok(None);
    }
    let text = read_plain_text(&path, CONFIG_LIMIT).map_err(FileError::io("read", &path))?;
    let names: Vec<String> = serde_json::from_str(&text)
        .with_context(|| format!("{}: expected a JSON list of label names", path.display()))?;
    Ok(Some(LabelSet::from_names(names)?))
}

/// The labels of an adapter with so many outputs: those beside it, else those of the model's configuration.
///
/// # Errors
/// As [`read_labels`], and when the configuration cannot be read.
pub fn known_labels(model: &Path, adapter: &Path, outputs: usize) -> Result<Option<LabelSet>> {
    let own = read_labels(adapter)?;
    let of_model = named_labels(&ModelConfig::read(model)?)?;
    let fits = |labels: &LabelSet| labels.len() == outputs;
    Ok(own.or(of_model.filter(fits)))
}

/// Labels of the configuration, unless they are placeholders such as `LABEL_0`.
pub(super) fn named_labels(config: &ModelConfig) -> Result<Option<LabelSet>> {
    let labels = config.labels();
    let placeholder = labels
        .iter()
        .enumerate()
        .all(|(id, name)| *name == format!("LABEL_{id}"));
    if placeholder {
        return Ok(None);
    }
    Ok(Some(LabelSet::from_names(labels.to_vec())?.with_ids()))
}
