//! One reading of an adapter folder, which every verb goes through: what it holds, by the model's own names and in one spelling.
//!
//! Beside the tensors of its method a folder may hold layers whole. PEFT writes them for three reasons: `modules_to_save` names them, the
//! vocabulary was resized, or an embedding is adapted (then the table under the adapter). Whatever is whole and not named is a
//! *copied module* here ([`AdapterSpec::copied_modules`]): attached, merged and saved like a module of `modules_to_save`.

use std::path::Path;

use super::copies;
use super::naming;
use crate::adaptable::Adaptable;
use crate::error::PeftError;
use crate::file::{self, AdapterFolder};
use crate::method::MethodEntry;
use crate::names::ParamNames;
use crate::spec::AdapterSpec;

/// A folder as it suits a model.
#[derive(Debug)]
pub struct Reading {
    /// What to attach: what the configuration and the copies ask for.
    pub spec: AdapterSpec,
    /// The configuration, and the tensors by the model's names.
    pub(super) folder: AdapterFolder,
    /// How many tokens the adapter was trained with, where the model has another number ([`Adaptable::resize_vocabulary`]).
    pub vocabulary: Option<usize>,
}

/// Reads a folder for a model, without attaching anything; `name` is the adapter's in messages.
///
/// # Errors
/// Files that cannot be read, a configuration that cannot be honoured, and tensors that contradict each other or the model.
pub fn read<M: Adaptable>(
    model: &M,
    names: &ParamNames,
    name: &str,
    entries: &[&'static MethodEntry],
    dir: &Path,
) -> Result<Reading, PeftError> {
    let mut folder = file::read_folder(dir)?;
    file::check_finite(&folder.tensors)?;
    let mut spec = super::spec_of(entries, &folder.config)?;
    if let Some(foreign) = naming::of(&folder.tensors, names) {
        spec = naming::own_spec(&spec, names, foreign, &model.sites(), &model.output_heads())?;
        folder.tensors = naming::own_keys(folder.tensors, names, foreign)?;
    }
    let vocabulary = copies::take(model, names, name, &mut spec, &mut folder.tensors)?;
    Ok(Reading {
        spec,
        folder,
        vocabulary,
    })
}
