//! An adapter that goes on from the values of another one.

use std::collections::HashSet;
use std::path::Path;

use super::reading::{self, Reading};
use crate::adaptable::Adaptable;
use crate::attach::AdapterSpec;
use crate::error::PeftError;
use crate::file;
use crate::method::MethodEntry;
use crate::names::ParamNames;
use crate::stored;

/// Puts the values of the adapter in `dir` into the one called `name`, which is attached already and was made by `spec`.
///
/// Layers that share with another ([`crate::Method::shares_with`]) have no values of their own: what the folder has for them is passed
/// over, and the shared values are those of the layer that they share with.
///
/// # Errors
/// Everything that is wrong with the folder, and in one report: layers that it scales otherwise, and tensors that do not fit.
pub fn start<M: Adaptable>(
    model: M,
    names: &ParamNames,
    name: &str,
    entries: &[&'static MethodEntry],
    spec: &AdapterSpec,
    dir: &Path,
) -> Result<M, PeftError> {
    let Reading {
        spec: theirs,
        mut folder,
        ..
    } = reading::read(&model, names, name, entries, dir)?;
    let problems = other_scales(&model, spec, &theirs)?;
    if !problems.is_empty() {
        return Err(PeftError::Mismatch {
            adapter: name.to_owned(),
            problems,
        });
    }
    let mut shared = HashSet::new();
    model.visit_linears(&mut |linear| {
        let path = &linear.site().path;
        if linear.adapter(name).is_some() && spec.method.shares_with(path).is_some() {
            shared.insert(path.clone());
        }
    });
    folder.tensors.retain(|key, _| {
        let parsed = file::parse_key(key, &["lora_A.weight", "lora_B.weight"]);
        parsed.is_none_or(|key| !shared.contains(&key.module))
    });
    stored::fill(model, names, name, spec, &folder)
}

/// One line for each layer whose update the folder multiplies by something else: its values would mean something else here.
fn other_scales<M: Adaptable>(
    model: &M,
    ours: &AdapterSpec,
    theirs: &AdapterSpec,
) -> Result<Vec<String>, PeftError> {
    const RSLORA: &str = "use_rslora";
    let stabilized = |spec: &AdapterSpec| spec.method.config_fields().get(RSLORA).cloned();
    let (sites, heads) = (model.sites(), model.output_heads());
    let (ours_at, theirs_at) = (ours.plan(&sites, &heads)?, theirs.plan(&sites, &heads)?);
    let mut problems = Vec::new();
    if stabilized(ours) != stabilized(theirs) {
        problems.push(format!(
            "{RSLORA}: the folder scales by the other rule of alpha and rank; use the method `{}`",
            theirs.method.entry().id
        ));
    }
    for site in &ours_at.sites {
        let there = theirs_at.sites.iter().find(|at| at.path == site.path);
        if let Some(there) = there
            && there.alpha != site.alpha
        {
            problems.push(format!(
                "`{}`: the folder has alpha {}, this adapter {}; give the alpha of the folder",
                site.path, there.alpha, site.alpha
            ));
        }
    }
    Ok(problems)
}
