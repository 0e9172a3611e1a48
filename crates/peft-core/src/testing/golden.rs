//! Golden files: safetensors written by the committed Python generators.

use std::collections::BTreeMap;
use std::path::Path;

use crate::file::{HostTensor, read_tensors};

/// The tensors of one golden file.
#[derive(Debug)]
pub struct Golden {
    name: String,
    tensors: BTreeMap<String, HostTensor>,
}

impl Golden {
    /// Reads a golden file.
    ///
    /// # Panics
    /// When it cannot be read: golden files are part of the repository.
    #[must_use]
    pub fn read(path: &Path) -> Self {
        let tensors = read_tensors(path)
            .unwrap_or_else(|error| panic!("golden file {}: {error}", path.display()));
        Self {
            name: path.display().to_string(),
            tensors,
        }
    }

    /// A tensor by name.
    ///
    /// # Panics
    /// When the file has no such tensor.
    #[must_use]
    pub fn get(&self, name: &str) -> &HostTensor {
        self.tensors
            .get(name)
            .unwrap_or_else(|| panic!("{}: no tensor `{name}`", self.name))
    }

    /// Whether the file has a tensor of that name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }
}
