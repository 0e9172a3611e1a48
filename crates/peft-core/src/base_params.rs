//! Parameters of the base model that belong to an adapter: modules saved whole, and biases that train along.

use burn::module::ParamId;
use serde::{Deserialize, Serialize};

use crate::names::{ParamNames, module_of, param_id};
use crate::target::is_saved_module;

/// Which biases of the base model an adapter trains. They are changed in the base itself, as in PEFT, so a model
/// holds at most one adapter that does so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BiasTraining {
    /// None.
    #[default]
    None,
    /// Every bias of the model.
    All,
    /// The biases of the adapted layers.
    LoraOnly,
}

/// The biases of the base that train along with an adapter on these sites.
pub(crate) fn trained_biases(
    bias: BiasTraining,
    names: &ParamNames,
    sites: &[impl AsRef<str>],
) -> Vec<ParamId> {
    match bias {
        BiasTraining::None => vec![],
        BiasTraining::All => names
            .iter()
            .filter(|(_, name, _)| name.ends_with(".bias"))
            .map(|(id, _, _)| id)
            .collect(),
        BiasTraining::LoraOnly => sites
            .iter()
            .map(|site| param_id(&format!("{}.bias", site.as_ref())))
            .filter(|id| names.get(*id).is_some())
            .collect(),
    }
}

/// Base parameters that an adapter saves whole: those of `modules_to_save` and of copied modules; ids and names, sorted by name.
pub(crate) fn saved_parameters(
    names: &ParamNames,
    modules_to_save: &[String],
    copied_modules: &[String],
) -> (Vec<ParamId>, Vec<String>) {
    let (mut ids, mut saved) = saved_modules(names, modules_to_save);
    for (id, name, _) in names.iter() {
        let module = module_of(name);
        if copied_modules.iter().any(|copied| copied == module) && !ids.contains(&id) {
            ids.push(id);
            saved.push(name.to_owned());
        }
    }
    saved.sort();
    (ids, saved)
}

/// Base parameters that belong to the modules in `modules_to_save`, by PEFT's rule: ids and names, sorted by name.
#[must_use]
pub fn saved_modules(names: &ParamNames, modules: &[String]) -> (Vec<ParamId>, Vec<String>) {
    let mut found: Vec<(ParamId, String)> = names
        .iter()
        .filter(|(_, name, _)| {
            ancestors(module_of(name)).any(|path| is_saved_module(path, modules))
        })
        .map(|(id, name, _)| (id, name.to_owned()))
        .collect();
    found.sort_by(|left, right| left.1.cmp(&right.1));
    found.into_iter().unzip()
}

/// `a.b.c`, then `a.b`, then `a`: a parameter is saved when any module above it is.
fn ancestors(module: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(module), |path| {
        path.rsplit_once('.').map(|(above, _)| above)
    })
}
