//! One adapter folder of a pool: its name, and the folder as it is read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use peft_format::Factors;
use peft_format::file::{HostTensor, PeftConfig};
use peft_format::lora_folder::{LoraFault, LoraFolder, LoraSite};

use super::Folding;

/// An adapter folder of which the headers are in memory.
#[derive(Debug, Clone)]
pub struct Member {
    name: String,
    folder: PathBuf,
    lora: LoraFolder,
}

impl Member {
    /// Opens a folder: its configuration and the header of its tensor file.
    ///
    /// # Errors
    /// The first of the things that are wrong with it.
    pub(crate) fn open(folder: &Path, name: String) -> Result<Self, LoraFault> {
        Ok(Self {
            name,
            folder: folder.to_owned(),
            lora: LoraFolder::open(folder)?,
        })
    }

    /// Its name in the pool.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its configuration, with the heads that its task implies.
    #[must_use]
    pub fn config(&self) -> &PeftConfig {
        self.lora.config()
    }

    pub(super) fn set_base(&mut self, name: &str) {
        self.lora.set_base(name);
    }

    /// Its sites by path.
    #[must_use]
    pub fn sites(&self) -> &BTreeMap<String, LoraSite> {
        self.lora.sites()
    }

    /// Bytes of its configuration and its tensor file.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.lora.bytes()
    }

    /// Keys, as PEFT writes them, of all tensors that are no factors: classification heads, magnitudes of DoRA.
    pub fn carried_keys(&self) -> impl Iterator<Item = &str> {
        self.lora.carried_keys()
    }

    /// Reads the tensors that are no factors, by the keys that PEFT writes.
    ///
    /// # Errors
    /// [`LoraFault::File`].
    pub fn carried(&self) -> Result<BTreeMap<String, HostTensor>, LoraFault> {
        self.lora.carried()
    }

    /// Reads the pair at a site; `None` if it has none there.
    ///
    /// # Errors
    /// [`LoraFault::File`] and [`LoraFault::NotFinite`].
    pub(crate) fn factors(
        &self,
        path: &str,
        folding: Folding,
    ) -> Result<Option<Factors>, LoraFault> {
        let (Some(site), Some(factors)) = (self.sites().get(path), self.lora.factors(path)?) else {
            return Ok(None);
        };
        Ok(Some(match folding {
            Folding::IntoB => factors.scaled(site.scale),
            Folding::None => factors,
        }))
    }
}
