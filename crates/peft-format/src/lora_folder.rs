//! Folders of LoRA, rsLoRA and DoRA at linear layers: `W + s B A` at every site, read by whoever wants the numbers without a model.
//!
//! Opening reads the configuration and the header of the tensor file and checks both against each other; the factors are read a site at a
//! time. A pickled file (`adapter_model.bin`) cannot be read in parts: it is read whole once and written to a temporary safetensors file.

mod fault;
mod sites;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use tempfile::TempPath;

use crate::Factors;
use crate::file::{
    CONFIG_FILE, FileError, HostTensor, PICKLE_FILE, PeftConfig, TENSOR_FILE, TensorFile,
    check_finite, index_keys, named_once, read_config, read_pickle, write_tensors,
};
pub use fault::LoraFault;
pub use sites::LoraSite;

/// Names of the tensors A and B of a site.
pub const FACTORS: [&str; 2] = ["lora_A.weight", "lora_B.weight"];
/// Name of DoRA's magnitudes, as PEFT writes it, and as older files have it.
const MAGNITUDES: [&str; 2] = ["lora_magnitude_vector", "lora_magnitude_vector.weight"];

/// A folder of which the configuration and the headers are in memory.
#[derive(Debug, Clone)]
pub struct LoraFolder {
    config: PeftConfig,
    file: TensorFile,
    /// The copy of a pickled file, removed with the last clone.
    _copy: Option<Arc<TempPath>>,
    sites: BTreeMap<String, LoraSite>,
    /// Key as PEFT writes it, and key in the file, of everything that is no factor.
    carried: BTreeMap<String, String>,
    bytes: u64,
}

impl LoraFolder {
    /// Opens a folder.
    ///
    /// # Errors
    /// The first kind of thing that is wrong with it.
    pub fn open(folder: &Path) -> Result<Self, LoraFault> {
        let mut config = read_config(folder)?;
        let unsupported = config.unsupported_for_lora();
        if !unsupported.is_empty() {
            return Err(LoraFault::Unsupported(unsupported));
        }
        let (file, copy, held) = open_tensors(folder)?;
        let names = file.names();
        let names = named_once(&file, &names)?;
        config.add_implied_heads(names.iter().copied());
        let known = [FACTORS, MAGNITUDES].concat();
        let index = index_keys(names, &known)?;
        let carried = sites::carried(&index, &config)?;
        let sites = sites::sites(&index, &config, &file)?;
        let size = fs::metadata(folder.join(CONFIG_FILE)).map_or(0, |metadata| metadata.len());
        Ok(Self {
            config,
            file,
            _copy: copy.map(Arc::new),
            sites,
            carried,
            bytes: held + size,
        })
    }

    /// Its configuration, with the heads that its task implies.
    #[must_use]
    pub fn config(&self) -> &PeftConfig {
        &self.config
    }

    /// Calls the base model `name`.
    pub fn set_base(&mut self, name: &str) {
        self.config.base_model_name_or_path = Some(name.to_owned());
    }

    /// Its sites by path.
    #[must_use]
    pub fn sites(&self) -> &BTreeMap<String, LoraSite> {
        &self.sites
    }

    /// Bytes of its configuration and its tensor file.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Keys of the tensor file, as it has them.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        self.file.names()
    }

    /// Keys, as PEFT writes them, of all tensors that are no factors: classification heads, magnitudes of DoRA.
    pub fn carried_keys(&self) -> impl Iterator<Item = &str> {
        self.carried.keys().map(String::as_str)
    }

    /// Reads the tensors that are no factors, by the keys that PEFT writes.
    ///
    /// # Errors
    /// [`LoraFault::File`].
    pub fn carried(&self) -> Result<BTreeMap<String, HostTensor>, LoraFault> {
        let mut read = self.file.read(self.carried.values().map(String::as_str))?;
        Ok(self
            .carried
            .iter()
            .filter_map(|(key, raw)| Some((key.clone(), read.remove(raw)?)))
            .collect())
    }

    /// Reads `A [r, d_in]` and `B [d_out, r]` at a site as the file has them; `None` if it has none there.
    ///
    /// # Errors
    /// [`LoraFault::File`] and [`LoraFault::NotFinite`].
    pub fn tensors(&self, path: &str) -> Result<Option<[HostTensor; 2]>, LoraFault> {
        let Some(site) = self.sites.get(path) else {
            return Ok(None);
        };
        let mut tensors = self.file.read(site.keys.iter().map(String::as_str))?;
        for (tensor, values) in &tensors {
            let values = values.data.iter();
            let count = values.filter(|value| !value.is_finite()).count();
            if count > 0 {
                return Err(LoraFault::NotFinite {
                    tensor: tensor.clone(),
                    count,
                });
            }
        }
        let pair = site.keys.each_ref().map(|key| tensors.remove(key));
        Ok(Some(pair.map(Option::unwrap_or_default)))
    }

    /// Reads the factors at a site without their scale ([`LoraSite::scale`]); `None` if it has none there.
    ///
    /// # Errors
    /// [`LoraFault::File`] and [`LoraFault::NotFinite`].
    pub fn factors(&self, path: &str) -> Result<Option<Factors>, LoraFault> {
        Ok(self.tensors(path)?.as_ref().map(Factors::of_tensors))
    }

    /// Reads the whole file and finds NaN and infinite values.
    ///
    /// # Errors
    /// [`FileError::NonFinite`] with every tensor that has some, or why the file cannot be read.
    pub fn check_finite(&self) -> Result<(), FileError> {
        let names = self.file.names();
        check_finite(&self.file.read(names.iter().map(String::as_str))?)
    }
}

/// The tensor file, the copy that it is of a pickled one, and the bytes of the original.
fn open_tensors(folder: &Path) -> Result<(TensorFile, Option<TempPath>, u64), FileError> {
    let path = folder.join(TENSOR_FILE);
    let pickle = folder.join(PICKLE_FILE);
    if path.exists() || !pickle.exists() {
        let file = TensorFile::open(&path)?;
        let bytes = file.bytes();
        return Ok((file, None, bytes));
    }
    let tensors = read_pickle(&pickle)?;
    let bytes = fs::metadata(&pickle).map_or(0, |metadata| metadata.len());
    let copy = tempfile::Builder::new()
        .prefix("peft-pool-")
        .suffix(".safetensors")
        .tempfile()
        .map_err(|source| FileError::Io {
            action: "create a temporary file in",
            path: std::env::temp_dir(),
            source,
        })?
        .into_temp_path();
    write_tensors(&copy, &tensors)?;
    Ok((TensorFile::open(&copy)?, Some(copy), bytes))
}
