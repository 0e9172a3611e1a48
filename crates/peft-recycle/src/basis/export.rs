//! Adapters back out of a basis, as plain adapter folders.

use std::collections::BTreeMap;
use std::path::Path;

use peft_format::Ranks;
use peft_format::file::{TensorFile, claim_folder, key, write_folder};
use peft_format::target::Target;
use serde_json::{Map, Value};

use super::Basis;
use super::coordinates::stored_loadings;
use super::files::{loadings_key, loadings_path, to_tensor};
use super::manifest::Side;
use crate::error::RecycleError;
use crate::pool::Member;

impl Basis {
    /// Writes an adapter as it comes back from its coordinates: a PEFT folder with `A = (C_A L_A)^T`, `B = C_B L_B`, the rank that it had and
    /// alpha equal to it, so that the scale is 1, with its head and magnitudes as they were.
    ///
    /// # Errors
    /// [`RecycleError::NoMember`], [`RecycleError::Malformed`] when its coordinates do not fit, [`RecycleError::File`], also for a folder that
    /// holds something.
    pub fn reconstruct(&self, name: &str, out: &Path) -> Result<(), RecycleError> {
        let member = self.known(name)?;
        let file = TensorFile::open(&loadings_path(&self.folder, name))?;
        let names = file.names();
        let mut tensors = file.read(names.iter().map(String::as_str))?;
        let mut adapter = BTreeMap::new();
        for (path, entry) in &member.sites {
            let directions = self.directions(path)?;
            for (side, directions) in Side::BOTH.into_iter().zip(&directions) {
                let loadings = stored_loadings(&self.manifest, &file, path, entry, side)?;
                tensors.remove(&loadings_key(path, side));
                let factor = directions.factor(self.options().variant, &loadings, entry.rank);
                let (tensor, factor) = match side {
                    Side::A => ("lora_A.weight", factor.transpose().to_owned()),
                    Side::B => ("lora_B.weight", factor * faer::Scale(entry.scale)),
                };
                adapter.insert(key(path, tensor), to_tensor(factor.as_ref()));
            }
        }
        adapter.extend(tensors);
        let _claim = claim_folder(out, false)?;
        Ok(write_folder(out, &member.config, &adapter)?)
    }
}

/// The configuration of a member once its scale is in its factors: `alpha = r` at every site, and nothing that only training needs.
pub(super) fn plain_config(member: &Member) -> Map<String, Value> {
    let mut config = member.config().clone();
    Ranks::of(&config).of_factor_one().describe(&mut config);
    config.use_rslora = false;
    config.init_lora_weights = Value::Bool(true);
    if config.target.is_none() {
        config.target = Some(Target::List(member.sites().keys().cloned().collect()));
    }
    config.to_map(&Map::new())
}
