//! Saved modules that a file holds under several names.
//!
//! Where the vocabulary was resized, PEFT stores a module of `modules_to_save` as itself (`X.weight`), as `X.modules_to_save.weight` and,
//! frozen, as `X.original_module.weight`. Python loads the first; the last is no part of the adapter.

use std::collections::BTreeMap;

use super::keys::SAVED;
use super::{FileError, HostTensor, TensorFile, TensorKey, parse_key};

const ORIGINAL: &str = "original_module";

/// Names of a file's tensors, with each saved module once; `names` are all of them. Of the values, only those are read that are there twice.
///
/// # Errors
/// [`FileError::BadKeys`] with every trained copy that is there twice with different values, or why they cannot be read.
pub(crate) fn named_once<'a>(
    file: &TensorFile,
    names: &'a [String],
) -> Result<Vec<&'a str>, FileError> {
    let again = superseded(names.iter().map(String::as_str));
    if !again.is_empty() {
        let twice = again.iter().flat_map(|(raw, twin)| [*raw, *twin]);
        in_one_spelling(file.read(twice)?)?;
    }
    let names = names.iter().map(String::as_str);
    Ok(names.filter(|name| !again.contains_key(name)).collect())
}

/// Keys that say again what another key of the file says, each with that other key; a frozen original has the trained copy's.
fn superseded<'a>(raw: impl IntoIterator<Item = &'a str>) -> BTreeMap<&'a str, &'a str> {
    let mut plain: BTreeMap<TensorKey, &str> = BTreeMap::new();
    let (mut saved, mut originals) = (Vec::new(), Vec::new());
    for raw in raw {
        if has(raw, ORIGINAL) {
            originals.push(raw);
        } else if let Some(key) = parse_key(raw, &[]) {
            if has(raw, SAVED) {
                saved.push((key, raw));
            } else {
                plain.insert(key, raw);
            }
        }
    }
    let mut found = BTreeMap::new();
    for (key, raw) in saved {
        match plain.get(&key) {
            Some(twin) => drop(found.insert(raw, *twin)),
            None => drop(plain.insert(key, raw)),
        }
    }
    for raw in originals {
        let parts: Vec<&str> = raw.split('.').filter(|part| *part != ORIGINAL).collect();
        let key = parse_key(&parts.join("."), &[]);
        if let Some(twin) = key.and_then(|key| plain.get(&key)) {
            found.insert(raw, twin);
        }
    }
    found
}

/// The tensors with each saved module once.
///
/// # Errors
/// [`FileError::BadKeys`] with every trained copy that is there twice with different values.
pub(super) fn in_one_spelling(
    mut tensors: BTreeMap<String, HostTensor>,
) -> Result<BTreeMap<String, HostTensor>, FileError> {
    let again: Vec<(String, String)> = superseded(tensors.keys().map(String::as_str))
        .into_iter()
        .map(|(raw, twin)| (raw.to_owned(), twin.to_owned()))
        .collect();
    let mut problems = Vec::new();
    for (raw, twin) in again {
        let tensor = tensors.remove(&raw);
        if !has(&raw, ORIGINAL) && tensor.as_ref() != tensors.get(&twin) {
            problems.push(format!(
                "`{twin}` and `{raw}` are one tensor with different values; delete the one that was not trained"
            ));
        }
    }
    match problems.is_empty() {
        true => Ok(tensors),
        false => Err(FileError::BadKeys { problems }),
    }
}

fn has(raw: &str, segment: &str) -> bool {
    raw.split('.').any(|part| part == segment)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spelt(keys: &[(&str, f32)]) -> Result<Vec<String>, FileError> {
        let tensor = |value: f32| HostTensor {
            shape: vec![1, 1],
            data: vec![value],
            ..HostTensor::default()
        };
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
