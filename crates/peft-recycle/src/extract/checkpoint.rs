//! The weights of a model folder, `model.safetensors` or the shards of its index, read tensor by tensor.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use peft_format::file::input::{CONFIG_LIMIT, read_plain};
use peft_format::file::{FileError, HostTensor, TensorFile};
use serde_json::Value;

use super::ExtractError;

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// A model folder of which the headers are in memory.
#[derive(Debug)]
pub(super) struct Checkpoint {
    files: Vec<TensorFile>,
    /// Where each tensor is, by its name here.
    places: BTreeMap<String, Place>,
}

/// In which file a tensor is, and what that calls it.
#[derive(Debug)]
struct Place {
    file: usize,
    name: String,
}

impl Checkpoint {
    /// Opens a folder.
    pub(super) fn open(folder: &Path) -> Result<Self, ExtractError> {
        let (single, index) = (folder.join(SINGLE), folder.join(INDEX));
        let paths = if single.exists() {
            vec![single]
        } else if index.exists() {
            shards(folder, &index)?
        } else {
            return Err(ExtractError::NoWeights {
                folder: folder.to_owned(),
            });
        };
        let mut checkpoint = Self {
            files: Vec::new(),
            places: BTreeMap::new(),
        };
        for path in paths {
            let file = TensorFile::open(&path)?;
            for name in file.names() {
                let place = Place {
                    file: checkpoint.files.len(),
                    name: name.clone(),
                };
                if checkpoint.places.insert(name.clone(), place).is_some() {
                    let problem = format!("`{name}` is in another shard too");
                    return Err(ExtractError::Index { path, problem });
                }
            }
            checkpoint.files.push(file);
        }
        Ok(checkpoint)
    }

    /// Gives the tensors of a bare body the names that they have in the same model with a head (`bert.encoder..` for `encoder..`), whichever
    /// of the two is the body. Models that share a name stay as they are.
    pub(super) fn align(one: &mut Self, other: &mut Self) {
        if one.names().any(|name| other.places.contains_key(name)) {
            return;
        }
        if let Some(prefix) = prefix(one, other) {
            one.prepend(&prefix);
        } else if let Some(prefix) = prefix(other, one) {
            other.prepend(&prefix);
        }
    }

    fn prepend(&mut self, prefix: &str) {
        let places = std::mem::take(&mut self.places).into_iter();
        self.places = places
            .map(|(name, place)| (format!("{prefix}{name}"), place))
            .collect();
    }

    /// Names of all tensors, sorted.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.places.keys().map(String::as_str)
    }

    /// Shape of a tensor.
    pub(super) fn shape(&self, name: &str) -> Option<&[usize]> {
        let place = self.places.get(name)?;
        self.files[place.file].shape(&place.name)
    }

    /// Whether a tensor is one of floating-point numbers that can be read.
    pub(super) fn is_float(&self, name: &str) -> bool {
        let place = self.places.get(name);
        let stored = place.and_then(|place| self.files[place.file].stored(&place.name));
        matches!(stored, Some(Ok(stored)) if stored.is_float())
    }

    /// Reads one tensor; an empty one where there is none.
    pub(super) fn read(&self, name: &str) -> Result<HostTensor, FileError> {
        let Some(Place { file, name }) = self.places.get(name) else {
            return Ok(HostTensor::default());
        };
        Ok(self.files[*file]
            .read([name.as_str()])?
            .remove(name)
            .unwrap_or_default())
    }
}

/// What stands before the names of `body` in `model`, for most of them; `None` where no name of one ends another.
fn prefix(body: &Checkpoint, model: &Checkpoint) -> Option<String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for name in body.names() {
        let longer = model.names().filter_map(|long| long.strip_suffix(name));
        for prefix in longer.filter(|prefix| prefix.ends_with('.')) {
            *counts.entry(prefix).or_default() += 1;
        }
    }
    let (prefix, _) = counts.into_iter().max_by_key(|(_, count)| *count)?;
    Some(prefix.to_owned())
}

/// The shards that an index names, each once.
fn shards(folder: &Path, index: &Path) -> Result<Vec<PathBuf>, ExtractError> {
    let bytes = read_plain(index, CONFIG_LIMIT).map_err(|source| FileError::Io {
        action: "read",
        path: index.to_owned(),
        source,
    })?;
    let value: Value = serde_json::from_slice(&bytes).map_err(|source| FileError::Json {
        path: index.to_owned(),
        source,
    })?;
    let problem = |problem: String| ExtractError::Index {
        path: index.to_owned(),
        problem,
    };
    let map = value.get("weight_map").and_then(Value::as_object);
    let map = map.ok_or_else(|| problem("expected a map `weight_map`".to_owned()))?;
    let mut names = Vec::new();
    for (tensor, shard) in map {
        let name = shard.as_str().filter(|name| {
            let plain = Path::new(name)
                .file_name()
                .is_some_and(|last| last == *name);
            plain && !name.contains(['/', '\\', ':'])
        });
        let Some(name) = name else {
            return Err(problem(format!(
                "expected the name of a file in the folder for `{tensor}`, found {shard}"
            )));
        };
        names.push(name);
    }
    names.sort_unstable();
    names.dedup();
    Ok(names.into_iter().map(|name| folder.join(name)).collect())
}
