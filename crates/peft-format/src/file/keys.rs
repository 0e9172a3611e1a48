//! Tensor keys: from `base_model.model.P.lora_A.default.weight` to the module path `P` and the tensor name.
//!
//! Keys are taken apart by segments and from the right, never by searching for a substring, so an adapter may be
//! called `lora` and a module may contain the name of a tensor. Accepted and removed:
//! - the prefix `base_model.model.`, absent, once or several times, and `module.` before or after it;
//! - the wrapper segments `_orig_mod`, `_fsdp_wrapped_module` and `_checkpoint_wrapped_module` anywhere;
//! - the infix `modules_to_save.NAME` of fully trained copies;
//! - an adapter name inside (`lora_A.NAME.weight`) or after (`lora_E.NAME`) a known tensor name.
//!
//! A known name may lack its `.weight` (`P.lora_A`), as in checkpoints of loralib.

use std::collections::BTreeMap;
use std::fmt;

use super::FileError;

pub(super) const WRAPPERS: [&str; 3] = [
    "_orig_mod",
    "_fsdp_wrapped_module",
    "_checkpoint_wrapped_module",
];
pub(super) const SAVED: &str = "modules_to_save";
pub(super) const PREFIX: [&str; 2] = ["base_model", "model"];

/// What a tensor key says: the module it belongs to and which tensor of that module it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TensorKey {
    /// Site path as in the base model; empty for tensors of the whole adapter.
    pub module: String,
    /// `lora_A.weight`, or `weight` and `bias` of a trained copy.
    pub tensor: String,
}

impl fmt::Display for TensorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.module.is_empty() {
            f.write_str(&self.tensor)
        } else {
            write!(f, "{}.{}", self.module, self.tensor)
        }
    }
}

/// The key that files hold for a tensor of a module: `base_model.model.{module}.{tensor}`.
///
/// An empty module gives the key of a tensor shared by the whole adapter: `base_model.{tensor}`.
pub fn key(module: &str, tensor: &str) -> String {
    if module.is_empty() {
        format!("base_model.{tensor}")
    } else {
        format!("base_model.model.{module}.{tensor}")
    }
}

/// Takes a tensor key apart.
///
/// `known` are the tensor names of the method, for example `["lora_A.weight", "lora_B.weight"]`. A key that ends
/// in none of them is split before its last segment. `None` for a key with an empty segment or nothing but
/// wrappers.
pub fn parse_key(raw: &str, known: &[&str]) -> Option<TensorKey> {
    let segments = without_wrappers(raw);
    if segments.iter().any(|segment| segment.is_empty()) {
        return None;
    }
    let mut rest = without_prefix(&segments);
    let without_infix = without_saved_infix(rest);
    if let Some(shorter) = &without_infix {
        rest = shorter;
    }
    let mut names: Vec<Vec<&str>> = known.iter().map(|name| name.split('.').collect()).collect();
    names.sort_by_key(|name| std::cmp::Reverse(name.len()));
    let split = names
        .iter()
        .find_map(|name| Some((module_length(rest, name)?, name.join("."))))
        .or_else(|| without_weight(rest, known));
    let (length, tensor) = match split {
        Some(found) => found,
        None => (rest.len().checked_sub(1)?, (*rest.last()?).to_owned()),
    };
    Some(TensorKey {
        module: rest[..length].join("."),
        tensor,
    })
}

/// Parses every key and refuses keys that cannot be parsed and pairs of keys that mean the same tensor.
///
/// Returns the raw key of each parsed key.
///
/// # Errors
///
/// [`FileError::BadKeys`] with every bad key.
pub fn index_keys<'a>(
    raw: impl IntoIterator<Item = &'a str>,
    known: &[&str],
) -> Result<BTreeMap<TensorKey, String>, FileError> {
    let mut index: BTreeMap<TensorKey, String> = BTreeMap::new();
    let mut problems = Vec::new();
    for raw in raw {
        match parse_key(raw, known) {
            None => problems.push(format!("`{raw}` is no tensor name")),
            Some(key) => {
                if let Some(other) = index.get(&key) {
                    problems.push(format!("`{other}` and `{raw}` both mean {key}"));
                } else {
                    index.insert(key, raw.to_owned());
                }
            }
        }
    }
    if problems.is_empty() {
        Ok(index)
    } else {
        Err(FileError::BadKeys { problems })
    }
}

/// The segments of a key that are not the mark of a wrapper.
pub(super) fn without_wrappers(raw: &str) -> Vec<&str> {
    raw.split('.')
        .filter(|segment| !WRAPPERS.contains(segment))
        .collect()
}

/// A known `NAME.weight` of which the key has only `NAME`: the length of the module path and the known name.
fn without_weight(segments: &[&str], known: &[&str]) -> Option<(usize, String)> {
    let (last, module) = segments.split_last()?;
    let name = known
        .iter()
        .find(|name| name.strip_suffix(".weight") == Some(last))?;
    Some((module.len(), (*name).to_owned()))
}

fn without_prefix<'k, 's>(mut rest: &'k [&'s str]) -> &'k [&'s str] {
    loop {
        rest = match rest {
            ["module", tail @ ..] if !tail.is_empty() => tail,
            [first, second, tail @ ..] if [*first, *second] == PREFIX && !tail.is_empty() => tail,
            ["base_model", tensor] => return std::slice::from_ref(tensor),
            _ => return rest,
        };
    }
}

/// Removes `modules_to_save.NAME`, or `modules_to_save` alone where no more than the tensor name follows.
fn without_saved_infix<'s>(segments: &[&'s str]) -> Option<Vec<&'s str>> {
    let at = segments.iter().position(|segment| *segment == SAVED)?;
    let removed = if segments.len() - at > 2 { 2 } else { 1 };
    Some(
        segments[..at]
            .iter()
            .chain(&segments[at + removed..])
            .copied()
            .collect(),
    )
}

/// How many leading segments are the module path if the key ends in `name`, with or without an adapter name.
///
/// The form with an adapter name is tried first: it decides keys such as `P.lora_A.lora_A.weight`, where the
/// adapter is called like the tensor.
fn module_length(segments: &[&str], name: &[&str]) -> Option<usize> {
    let (first, tail) = name.split_first()?;
    if let Some(start) = segments.len().checked_sub(name.len() + 1)
        && segments[start] == *first
        && segments[start + 2..] == *tail
    {
        return Some(start);
    }
    let start = segments.len().checked_sub(name.len())?;
    (segments[start..] == *name).then_some(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LORA: [&str; 4] = [
        "lora_A.weight",
        "lora_B.weight",
        "lora_magnitude_vector",
        "lora_magnitude_vector.weight",
    ];

    fn parsed(raw: &str) -> (String, String) {
        let key = parse_key(raw, &LORA).unwrap_or_else(|| panic!("{raw} does not parse"));
        (key.module, key.tensor)
    }

    fn is(raw: &str, module: &str, tensor: &str) {
        assert_eq!(parsed(raw), (module.to_owned(), tensor.to_owned()), "{raw}");
    }

    #[test]
    fn published_forms_of_a_key_mean_the_same_tensor() {
        for raw in [
            "base_model.model.m.0.q.lora_A.weight",
            "m.0.q.lora_A.weight",
            "base_model.model.base_model.model.m.0.q.lora_A.weight",
            "module.base_model.model.m.0.q.lora_A.weight",
            "base_model.model.module.m.0.q.lora_A.default.weight",
            "base_model.model.m.0.q.lora_A.lora.weight",
            "base_model.model.m.0.q.lora_A.lora_A.weight",
            "base_model.model.m.0.q.lora_A.weight.weight",
            "_orig_mod.base_model.model._orig_mod.m.0.q.lora_A.weight",
            "base_model.model._fsdp_wrapped_module.m.0._fsdp_wrapped_module.q.lora_A.weight",
        ] {
            is(raw, "m.0.q", "lora_A.weight");
        }
    }

    #[test]
    fn a_known_name_may_lack_its_weight_but_a_bias_is_no_adapter_name() {
        is("m.q.lora_A", "m.q", "lora_A.weight");
        is("base_model.model.m.q.lora_B", "m.q", "lora_B.weight");
        is("m.q.lora_B.bias", "m.q.lora_B", "bias");
        let both = ["m.q.lora_A", "m.q.lora_A.weight"];
        assert!(
            index_keys(both, &LORA)
                .unwrap_err()
                .to_string()
                .contains("both mean")
        );
    }

    #[test]
    fn the_models_own_model_segment_is_kept() {
        is(
            "base_model.model.model.layers.0.q.lora_B.weight",
            "model.layers.0.q",
            "lora_B.weight",
        );
        is(
            "model.layers.0.q.lora_B.weight",
            "model.layers.0.q",
            "lora_B.weight",
        );
    }

    #[test]
    fn a_module_may_carry_the_name_of_a_tensor_in_the_middle() {
        is(
            "base_model.model.lora_A.weight.q.lora_B.weight",
            "lora_A.weight.q",
            "lora_B.weight",
        );
    }

    #[test]
    fn magnitudes_parse_with_and_without_weight_and_adapter_name() {
        is(
            "base_model.model.q.lora_magnitude_vector",
            "q",
            "lora_magnitude_vector",
        );
        is(
            "base_model.model.q.lora_magnitude_vector.weight",
            "q",
            "lora_magnitude_vector.weight",
        );
        is(
            "base_model.model.q.lora_magnitude_vector.default.weight",
            "q",
            "lora_magnitude_vector.weight",
        );
        is(
            "base_model.model.q.lora_magnitude_vector.default",
            "q",
            "lora_magnitude_vector",
        );
    }

    #[test]
    fn trained_copies_lose_their_infix() {
        is(
            "base_model.model.classifier.modules_to_save.default.weight",
            "classifier",
            "weight",
        );
        is(
            "base_model.model.classifier.modules_to_save.weight",
            "classifier",
            "weight",
        );
        is(
            "classifier.modules_to_save.other.dense.bias",
            "classifier.dense",
            "bias",
        );
        is(
            "base_model.model.classifier.out_proj.bias",
            "classifier.out_proj",
            "bias",
        );
    }

    #[test]
    fn shared_tensors_have_no_module() {
        let shared = parse_key("base_model.vera_A", &["vera_A"]).unwrap();
        assert_eq!(
            (shared.module.as_str(), shared.tensor.as_str()),
            ("", "vera_A")
        );
        assert_eq!(parse_key(&key("", "vera_A"), &["vera_A"]), Some(shared));
        assert_eq!(
            parse_key("prompt_embeddings", &[]).unwrap().to_string(),
            "prompt_embeddings"
        );
    }

    #[test]
    fn keys_without_a_name_are_refused() {
        for raw in ["", ".", "a..weight", "_orig_mod", ".weight"] {
            assert_eq!(parse_key(raw, &LORA), None, "{raw:?}");
        }
    }

    #[test]
    fn two_keys_for_one_tensor_are_both_named() {
        let keys = [
            "base_model.model.q.lora_A.weight",
            "q.lora_A.default.weight",
            "a..b",
            "q.lora_B.weight",
        ];
        let message = index_keys(keys, &LORA).unwrap_err().to_string();
        assert!(
            message.contains(keys[0]) && message.contains(keys[1]) && message.contains("a..b"),
            "{message}"
        );
        assert_eq!(
            index_keys(keys[..1].iter().copied(), &LORA).unwrap().len(),
            1
        );
    }
}
