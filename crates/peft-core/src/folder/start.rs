//! An adapter that goes on from the values of another one.

use std::collections::HashSet;

use super::adapter_places;
use super::reading::Reading;
use crate::adaptable::Adaptable;
use crate::attached_site::AttachedSite;
use crate::error::PeftError;
use crate::file::{self, TensorKey};
use crate::names::ParamNames;
use crate::spec::AdapterSpec;
use crate::tie::TieGroups;

/// Puts the values of a folder, which was [read](super::read) for this model before anything was attached, into the adapter called `name`, which
/// is attached now and was made by `spec`.
///
/// What a layer shares with another one ([`crate::Method::shares`]) it does not have of its own: what the folder has for it is
/// ignored, and the shared values are those of the layer that has them.
///
/// # Errors
/// Everything that is wrong with the folder, and in one report: what it scales otherwise, and tensors that do not fit.
pub fn start<M: Adaptable>(
    model: M,
    names: &ParamNames,
    name: &str,
    spec: &AdapterSpec,
    from: Reading,
) -> Result<M, PeftError> {
    let Reading {
        spec: theirs,
        mut folder,
        ..
    } = from;
    let problems = other_scales(&model, spec, &theirs)?;
    if !problems.is_empty() {
        return Err(PeftError::Mismatch {
            adapter: name.to_owned(),
            problems,
        });
    }
    let shared = shared_keys(&model, name, spec)?;
    let tensors: HashSet<&str> = shared.iter().map(|key| key.tensor.as_str()).collect();
    let tensors: Vec<&str> = tensors.into_iter().collect();
    folder.tensors.retain(|key, _| {
        let parsed = file::parse_key(key, &tensors);
        parsed.is_none_or(|key| !shared.contains(&key))
    });
    super::stored::fill(model, names, name, spec, &folder)
}

/// Tensors that layers share with another one and do not have themselves.
fn shared_keys<M: Adaptable>(
    model: &M,
    name: &str,
    spec: &AdapterSpec,
) -> Result<HashSet<TensorKey>, PeftError> {
    let followers = TieGroups::of(model, name, spec.method.as_ref())?.followers();
    let places = adapter_places(model, name).into_iter();
    let shared = places.filter(|(_, (id, _, _))| followers.contains(id));
    Ok(shared.map(|(key, _)| key).collect())
}

/// What the folder makes of its values that this adapter does not: each kind once, for all layers.
fn other_scales<M: Adaptable>(
    model: &M,
    ours: &AdapterSpec,
    theirs: &AdapterSpec,
) -> Result<Vec<String>, PeftError> {
    const RSLORA: &str = "use_rslora";
    let stabilized = |spec: &AdapterSpec| spec.method.config_fields().get(RSLORA).cloned();
    let mut problems = Vec::new();
    if stabilized(ours) != stabilized(theirs) {
        problems.push(format!(
            "{RSLORA}: the folder scales by the other rule of alpha and rank; use the method `{}`",
            theirs.method.entry().id
        ));
    }
    let (sites, heads) = (model.sites(), model.output_heads());
    let there = theirs.plan(&sites, &heads)?.sites;
    let live = other_sizes(&ours.plan(&sites, &heads)?.sites, &there);
    // A folder may hold this method in the form in which it is stored.
    let stored = other_sizes(&ours.stored().plan(&sites, &heads)?.sites, &there);
    if !stored.is_empty() {
        problems.extend(live);
    }
    Ok(problems)
}

/// Ranks, alphas and layers that differ.
fn other_sizes(ours: &[AttachedSite], theirs: &[AttachedSite]) -> Vec<String> {
    type Number = fn(&AttachedSite) -> f64;
    let mut problems = Vec::new();
    let pairs = || {
        theirs.iter().filter_map(|there| {
            let here = ours.iter().find(|here| here.path == there.path)?;
            Some((there, here))
        })
    };
    let numbers: [(&str, Number); 2] = [
        ("rank", |site| site.rank as f64),
        ("alpha", |site| site.alpha),
    ];
    for (name, number) in numbers {
        let differing = || pairs().filter(move |(there, here)| number(there) != number(here));
        if let Some((there, here)) = differing().next() {
            problems.push(format!(
                "{name}: the folder has {}, this adapter {} (at {} of {} layers, first at `{}`): leave {name} and its patterns away \
                 to take the folder's",
                number(there),
                number(here),
                differing().count(),
                pairs().count(),
                here.path
            ));
        }
    }
    let lacking = |of: &[AttachedSite], with: &[AttachedSite]| {
        let absent = of
            .iter()
            .filter(|site| with.iter().all(|other| other.path != site.path));
        absent.map(|site| site.path.clone()).collect::<Vec<_>>()
    };
    for (who, other, paths) in [
        ("the folder", "this adapter", lacking(theirs, ours)),
        ("this adapter", "the folder", lacking(ours, theirs)),
    ] {
        if let Some(first) = paths.first() {
            problems.push(format!(
                "targets: {who} adapts {} layers that {other} does not, first `{first}`: leave targets away to take the folder's",
                paths.len()
            ));
        }
    }
    problems
}
