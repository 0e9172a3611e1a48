//! What is unusual about a folder and harmless: said, not refused.

use std::collections::BTreeMap;
use std::path::Path;

use peft_core::file::{AdapterFolder, KeyOddity, PICKLE_FILE, TENSOR_FILE, key_oddities};

/// Everything unusual about the files and keys of a folder; `known` are the tensor names of the method.
pub(super) fn notes(dir: &Path, folder: &AdapterFolder, known: &[&str]) -> Vec<String> {
    let mut notes = Vec::new();
    if folder.tensor_file.ends_with(PICKLE_FILE) {
        notes.push(format!(
            "the tensors are pickled ({PICKLE_FILE}); no code in the file was run"
        ));
    } else if dir.join(PICKLE_FILE).exists() {
        notes.push(format!(
            "{PICKLE_FILE} is there too and was not read: {TENSOR_FILE} comes first"
        ));
    }
    let targets = folder.config.raw.get("target_modules");
    if folder.config.target.is_some() && targets.is_none_or(serde_json::Value::is_null) {
        notes.push(
            "target_modules is not named, for which PEFT takes the architecture's: the layers of the file are taken".to_owned(),
        );
    }
    let mut oddities: BTreeMap<KeyOddity, (usize, &str)> = BTreeMap::new();
    for raw in folder.tensors.keys() {
        for oddity in key_oddities(raw, known) {
            oddities.entry(oddity).or_insert((0, raw)).0 += 1;
        }
    }
    let keys = folder.tensors.len();
    notes.extend(oddities.iter().map(|(oddity, (count, example))| {
        format!("{oddity} in {count} of {keys} keys, for example `{example}`")
    }));
    let mut dtypes: Vec<&str> = folder
        .tensors
        .values()
        .map(|tensor| tensor.stored.name())
        .collect();
    dtypes.sort_unstable();
    dtypes.dedup();
    if dtypes.len() > 1 {
        notes.push(format!("the tensors mix {}", dtypes.join(" and ")));
    }
    notes
}
