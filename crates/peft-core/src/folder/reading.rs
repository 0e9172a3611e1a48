//! One reading of an adapter folder, which every verb goes through: what it holds, by the model's own names and in one spelling.
//!
//! Beside the tensors of its method a folder may hold layers whole. PEFT writes them for three reasons: `modules_to_save` names them, the
//! vocabulary was resized, or an embedding is adapted (then the table under the adapter). Whatever is whole and not named is a
//! *copied module* here ([`AdapterSpec::copied_modules`]): attached, merged and saved like a module of `modules_to_save`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::copies;
use super::naming;
use crate::adaptable::Adaptable;
use crate::attach::AdapterSpec;
use crate::base_params::saved_modules;
use crate::error::PeftError;
use crate::file::{self, AdapterFolder, FileError, HostTensor};
use crate::method::MethodEntry;
use crate::names::ParamNames;

/// PEFT's name of the frozen layer beside a saved module's copy.
const ORIGINAL: &str = "original_module";
/// PEFT's name of the copies of a saved module.
const SAVED: &str = "modules_to_save";

/// A folder as it suits a model.
#[derive(Debug)]
pub(crate) struct Reading {
    /// What the configuration and the copies ask for.
    pub(crate) spec: AdapterSpec,
    /// The configuration, and the tensors by the model's names.
    pub(crate) folder: AdapterFolder,
    /// How many tokens the adapter was trained with, where the model has another number.
    pub(crate) vocabulary: Option<usize>,
}

/// Reads a folder for a model.
///
/// # Errors
/// Files that cannot be read, a configuration that cannot be honoured, and tensors that contradict each other or the model.
pub(crate) fn read<M: Adaptable>(
    model: &M,
    names: &ParamNames,
    name: &str,
    entries: &[&'static MethodEntry],
    dir: &Path,
) -> Result<Reading, PeftError> {
    let mut folder = file::read_folder(dir)?;
    file::check_finite(&folder.tensors)?;
    let mut spec = super::spec_of(entries, &folder.config)?;
    folder.tensors = in_one_spelling(folder.tensors)?;
    if let Some(foreign) = naming::of(&folder.tensors, names) {
        spec = naming::own_spec(&spec, names, foreign, &model.sites(), &model.output_heads())?;
        folder.tensors = naming::own_keys(folder.tensors, names, foreign)?;
    }
    // PEFT names every usual head of a task, of which a model has one.
    spec.modules_to_save.retain(|module| {
        !saved_modules(names, std::slice::from_ref(module))
            .0
            .is_empty()
    });
    let vocabulary = copies::take(model, names, name, &mut spec, &mut folder.tensors)?;
    Ok(Reading {
        spec,
        folder,
        vocabulary,
    })
}

/// The tensors with each trained copy once: a module that was saved with a resized vocabulary is there as itself, as
/// `modules_to_save` and, frozen, as `original_module`, which is no part of the adapter.
fn in_one_spelling(
    tensors: BTreeMap<String, HostTensor>,
) -> Result<BTreeMap<String, HostTensor>, FileError> {
    let (saved, mut plain): (BTreeMap<_, _>, BTreeMap<_, _>) =
        tensors.into_iter().partition(|(raw, _)| has(raw, SAVED));
    let of = |raw: &str| file::parse_key(raw, &[]);
    let trained: BTreeSet<_> = plain
        .keys()
        .chain(saved.keys())
        .filter(|raw| !has(raw, ORIGINAL))
        .filter_map(|raw| of(raw))
        .collect();
    plain.retain(|raw, _| {
        let twin = without(raw, ORIGINAL).and_then(|raw| of(&raw));
        twin.is_none_or(|twin| !trained.contains(&twin))
    });
    let known: BTreeMap<_, String> = plain
        .keys()
        .filter_map(|raw| Some((of(raw)?, raw.clone())))
        .collect();
    let mut problems = Vec::new();
    for (raw, tensor) in saved {
        let twin = of(&raw).and_then(|key| known.get(&key));
        match twin {
            Some(twin) if plain[twin] == tensor => {}
            Some(twin) => problems.push(format!(
                "`{twin}` and `{raw}` are one tensor with different values; delete the one that was not trained"
            )),
            None => drop(plain.insert(raw, tensor)),
        }
    }
    match problems.is_empty() {
        true => Ok(plain),
        false => Err(FileError::BadKeys { problems }),
    }
}

fn has(raw: &str, segment: &str) -> bool {
    raw.split('.').any(|part| part == segment)
}

/// The key without a segment; `None` where it has none such.
fn without(raw: &str, segment: &str) -> Option<String> {
    let parts: Vec<&str> = raw.split('.').filter(|part| *part != segment).collect();
    has(raw, segment).then(|| parts.join("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(value: f32) -> HostTensor {
        HostTensor {
            shape: vec![1, 1],
            data: vec![value],
            ..HostTensor::default()
        }
    }

    fn spelt(keys: &[(&str, f32)]) -> Result<Vec<String>, FileError> {
        let tensors = keys
            .iter()
            .map(|(key, value)| ((*key).to_owned(), tensor(*value)));
        in_one_spelling(tensors.collect()).map(|tensors| tensors.into_keys().collect())
    }

    #[test]
    fn a_saved_module_that_is_there_three_times_is_read_once() {
        let head = "base_model.model.lm_head.weight";
        let three = [
            (head, 2.0),
            ("base_model.model.lm_head.modules_to_save.weight", 2.0),
            ("base_model.model.lm_head.original_module.weight", 1.0),
        ];
        assert_eq!(spelt(&three).unwrap(), [head]);
        assert_eq!(spelt(&three[1..]).unwrap(), [three[1].0]);
        assert_eq!(
            spelt(&three[2..]).unwrap(),
            [three[2].0],
            "not trained: to be refused"
        );
    }

    #[test]
    fn spellings_that_disagree_are_both_named() {
        let two = [
            ("base_model.model.score.weight", 2.0),
            ("base_model.model.score.modules_to_save.default.weight", 3.0),
        ];
        let error = spelt(&two).unwrap_err().to_string();
        assert!(
            error.contains(two[0].0) && error.contains(two[1].0),
            "{error}"
        );
    }
}
