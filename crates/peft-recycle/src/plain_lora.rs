//! Pairs of factors of scale 1 as one PEFT folder: `alpha` is the rank at every site, by patterns where ranks differ.

use std::collections::BTreeMap;
use std::path::Path;

use indexmap::IndexMap;
use peft_format::Factors;
use peft_format::Ranks;
use peft_format::file::{FileError, HostTensor, PeftConfig, claim_folder, key, write_folder};
use peft_format::target::Target;
use serde_json::{Map, Value};

use crate::basis::{single, to_tensor};
use crate::error::SubspaceError;

/// A plain LoRA that grows site by site.
#[derive(Debug, Default)]
pub(crate) struct PlainLora {
    tensors: BTreeMap<String, HostTensor>,
    ranks: IndexMap<String, usize>,
}

impl PlainLora {
    /// Adds a pair and returns it as the file will have it, in single precision.
    ///
    /// # Errors
    /// [`SubspaceError::TooLarge`] where single precision cannot hold a value; nothing is added then.
    pub(crate) fn push(&mut self, site: &str, factors: &Factors) -> Result<Factors, SubspaceError> {
        let rounded = Factors {
            a: single(&factors.a),
            b: single(&factors.b),
        };
        if !(rounded.a.is_all_finite() && rounded.b.is_all_finite()) {
            return Err(SubspaceError::TooLarge);
        }
        let a = to_tensor(rounded.a.transpose());
        self.tensors.insert(key(site, "lora_A.weight"), a);
        let b = to_tensor(rounded.b.as_ref());
        self.tensors.insert(key(site, "lora_B.weight"), b);
        self.ranks.insert(site.to_owned(), rounded.a.ncols());
        Ok(rounded)
    }

    /// Adds tensors that are no factors, by the keys that PEFT writes.
    pub(crate) fn carry(&mut self, tensors: BTreeMap<String, HostTensor>) {
        self.tensors.extend(tensors);
    }

    /// Writes the folder, which must be new or empty. Of the configuration, everything about ranks and scales is replaced, and where it
    /// has no target, the paths of the sites are the target.
    ///
    /// # Errors
    /// [`FileError`].
    pub(crate) fn write(self, config: PeftConfig, out: &Path) -> Result<(), FileError> {
        let config = self.described(config);
        let _claim = claim_folder(out, false)?;
        write_folder(out, &config.to_map(&Map::new()), &self.tensors)
    }

    fn described(&self, mut config: PeftConfig) -> PeftConfig {
        let ranks = self.ranks.iter();
        let ranks = ranks.map(|(site, rank)| (site.as_str(), *rank, *rank as f64));
        Ranks::of_sites(ranks).describe(&mut config);
        config.use_rslora = false;
        config.init_lora_weights = Value::Bool(true);
        if config.target.is_none() {
            config.target = Some(Target::List(self.ranks.keys().cloned().collect()));
            config.exclude = None;
            config.layers_to_transform = None;
            config.layers_pattern = Vec::new();
        }
        config
    }
}
