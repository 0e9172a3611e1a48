//! What attaching refuses.

use std::collections::BTreeSet;

use serde_json::Value;

use super::AdapterSpec;
use crate::adapter::AnyAdapter;
use crate::attached_site::AttachedSite;
use crate::base_params::{BiasTraining, saved_modules};
use crate::error::PeftError;
use crate::linear::AdaptedLinear;
use crate::names::ParamNames;
use peft_format::Site;

/// Refuses names in `modules_to_save` that no module of the model has. Attaching ignores them, because folders of PEFT name every usual head of
/// a task; whoever types one means something by it.
///
/// # Errors
/// [`PeftError::SavedModules`] with all of them.
pub fn require_saved_modules(names: &ParamNames, modules: &[String]) -> Result<(), PeftError> {
    let is_nothing = |name: &&String| {
        saved_modules(names, std::slice::from_ref(*name))
            .0
            .is_empty()
    };
    let unknown: Vec<String> = modules.iter().filter(is_nothing).cloned().collect();
    if unknown.is_empty() {
        return Ok(());
    }
    let modules: BTreeSet<&str> = names
        .iter()
        .filter_map(|(_, name, _)| name.rsplit('.').nth(1))
        .filter(|role| role.parse::<usize>().is_err())
        .collect();
    Err(PeftError::SavedModules {
        unknown,
        known: modules.into_iter().map(str::to_owned).collect(),
    })
}

/// Refuses a model whose layers do not know where they are.
pub(super) fn require_paths(sites: &[Site]) -> Result<(), PeftError> {
    let lost = sites.iter().filter(|site| site.path.is_empty()).count();
    if lost == 0 {
        return Ok(());
    }
    Err(PeftError::Model {
        problems: vec![format!(
            "{lost} of {} layers have no path: call `peft_core::named` on the model, in which each is a field, an item or inside one",
            sites.len()
        )],
    })
}

/// Refuses what the method's folders have no field for: an adapter that needs it could be trained but not written.
pub(super) fn require_fields(spec: &AdapterSpec, sites: &[AttachedSite]) -> Result<(), PeftError> {
    let fields = spec.method.config_fields();
    let scaled = spec.method.entry().alpha;
    let needed = [
        ("bias", spec.bias != BiasTraining::None),
        ("rank_pattern", sites.iter().any(|at| at.rank != spec.rank)),
        (
            "alpha_pattern",
            scaled
                && sites
                    .iter()
                    .any(|at| at.alpha.total_cmp(&spec.alpha).is_ne()),
        ),
    ];
    let missing = needed
        .into_iter()
        .find(|(field, needed)| *needed && fields.get(*field).is_some_and(Value::is_null));
    match missing {
        None => Ok(()),
        Some((field, _)) => Err(PeftError::Option {
            method: spec.method.entry().id,
            option: field.to_owned(),
            problem: format!(
                "expected none, for the method's folders have no `{field}` to keep it in: leave it away"
            ),
        }),
    }
}

/// Refuses dropout, of whichever kind, where the layers run by their weights: it would be left out.
pub(super) fn require_no_dropout(spec: &AdapterSpec) -> Result<(), PeftError> {
    let options = spec.method.options();
    let dropout = options.iter().find(|(name, value)| {
        name.ends_with("dropout") && value.as_f64().is_some_and(|value| value > 0.0)
    });
    let Some((option, _)) = dropout else {
        return Ok(());
    };
    Err(PeftError::Option {
        method: spec.method.entry().id,
        option: option.clone(),
        problem: "a hosted model runs by weights, which cannot drop inputs: take 0, or build the model of `AdaptedLinear`".to_owned(),
    })
}

/// Refuses an adapter that no weight reproduces, where the model runs by weights.
pub(super) fn require_effective_weight(
    spec: &AdapterSpec,
    linear: &AdaptedLinear,
    adapter: &AnyAdapter,
) -> Result<(), PeftError> {
    match linear.effective_weight_with(adapter, linear.weight.val()) {
        Ok(_) => Ok(()),
        Err(reason) => Err(PeftError::NoEffectiveWeight {
            method: spec.method.entry().id,
            action: "run as a weight, as hosted models do",
            reason,
        }),
    }
}
