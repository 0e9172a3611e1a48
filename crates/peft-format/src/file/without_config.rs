//! What a folder without `adapter_config.json` is: adapters in subfolders, or a checkpoint of loralib.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::foreign::foreign;
use super::keys::without_wrappers;
use super::{CONFIG_FILE, FileError, HostTensor, Loralib, read_pickle, read_tensors};

/// Most files that are opened in search of an explanation.
const MAX_FILES: usize = 8;

/// Says what a folder without a config is, if that can be told.
pub(super) fn explain(folder: &Path) -> Option<FileError> {
    if let Some(found) = foreign(folder) {
        return Some(found.into());
    }
    let mut entries: Vec<PathBuf> = fs::read_dir(folder)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    entries.sort();
    let names: Vec<String> = entries
        .iter()
        .filter(|entry| entry.join(CONFIG_FILE).is_file())
        .filter_map(|entry| Some(entry.file_name()?.to_string_lossy().into_owned()))
        // A folder that is being written, or that a killed process left.
        .filter(|name| !name.starts_with('.'))
        .collect();
    if !names.is_empty() {
        return Some(FileError::NamedAdapters {
            path: folder.to_owned(),
            names,
        });
    }
    entries
        .into_iter()
        .filter(|path| path.is_file())
        .filter_map(|path| Some((reader(&path)?, path)))
        .take(MAX_FILES)
        .find_map(|(read, path)| loralib(&path, &read(&path).ok()?))
        .map(|found| FileError::Loralib(Box::new(found)))
}

type Reader = fn(&Path) -> Result<BTreeMap<String, HostTensor>, FileError>;

fn reader(path: &Path) -> Option<Reader> {
    match path.extension()?.to_str()? {
        "safetensors" => Some(read_tensors),
        "bin" | "pt" | "pth" => Some(read_pickle),
        _ => None,
    }
}

/// The checkpoint, if these tensors are one.
fn loralib(path: &Path, tensors: &BTreeMap<String, HostTensor>) -> Option<Loralib> {
    let mut layers = 0;
    let mut bodies: Vec<&str> = Vec::new();
    let mut ranks: BTreeMap<usize, usize> = BTreeMap::new();
    let mut roles: Vec<&str> = Vec::new();
    let mut saved: Vec<&str> = Vec::new();
    for (key, tensor) in tensors {
        let segments = without_wrappers(key);
        match segments.as_slice() {
            [.., role, "lora_A"] => {
                layers += 1;
                *ranks.entry(*tensor.shape.first()?).or_default() += 1;
                insert(&mut roles, role);
                insert(&mut bodies, segments[0]);
            }
            [.., "lora_B"] => {}
            [.., "lora_A" | "lora_B", "weight"] => return None,
            [first, _, ..] => insert(&mut saved, first),
            _ => {}
        }
    }
    let (rank, _) = ranks.iter().max_by_key(|(_, count)| **count)?;
    saved.retain(|module| !bodies.contains(module));
    let example = json!({
        "peft_type": "LORA", "r": rank, "lora_alpha": rank, "target_modules": roles, "modules_to_save": saved,
    });
    Some(Loralib {
        path: path.to_owned(),
        layers,
        example: example.to_string(),
    })
}

fn insert<'a>(names: &mut Vec<&'a str>, name: &'a str) {
    if !names.contains(&name) {
        names.push(name);
    }
}
