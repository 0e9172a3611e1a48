//! A model that is to answer, with its adapters.

use std::path::{Path, PathBuf};

use peft_models::Storage;

use crate::Result;
use crate::adapter_arg::AdapterArg;
use crate::companions::Companions;
use crate::open::Base;
use crate::precision::Precision;

/// A model, its adapters, and where to compute.
#[derive(Debug, Clone)]
pub struct Answerer {
    /// Folder of the base model in the Hugging Face layout.
    pub model: PathBuf,
    /// What its frozen weights are kept in; absent: as the folder has them.
    pub quantize: Option<Storage>,
    /// What products of layers and of attention multiply.
    pub compute: Precision,
    /// Adapter folders with their names.
    pub adapters: Vec<AdapterArg>,
    /// Folder whose tokenizer, chat template, generation settings and image processor are used; otherwise those beside the adapter, where
    /// it has some, or else the model's.
    pub tokenizer: Option<PathBuf>,
    /// Device by its name, see [`crate::device::open`].
    pub device: String,
}

impl Answerer {
    /// The base model.
    #[must_use]
    pub fn base(&self) -> Base<'_> {
        Base::from(self.model.as_path()).keeping(self.quantize)
    }

    /// Runs work of the model as it is to be computed.
    pub(crate) fn run<R>(&self, work: impl FnOnce() -> Result<R>) -> Result<R> {
        self.compute.run(&self.device, work)
    }

    /// The folders of the adapters.
    pub fn adapter_folders(&self) -> impl Iterator<Item = &PathBuf> {
        self.adapters.iter().map(|adapter| &adapter.dir)
    }

    /// What stands beside the model and its adapters; what is not the model's is said.
    ///
    /// # Errors
    /// As [`Companions::new`].
    pub fn companions(&self) -> Result<Companions> {
        let adapters: Vec<&Path> = (self.adapters.iter())
            .map(|adapter| adapter.dir.as_path())
            .collect();
        Ok(Companions::new(&self.model, &adapters, self.tokenizer.as_deref())?.announced())
    }
}
