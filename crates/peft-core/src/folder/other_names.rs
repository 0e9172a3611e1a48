//! Adapter folders that call a model's layers by other names than the model's files do.
//!
//! A library may rename the layers of a family in memory and keep its files as they were; adapters that it trains then carry the names of
//! its memory. A model says them with [`ParamNames::also_called`]. Ranks, alphas and targets of such a folder mean its own names, so they
//! are looked up by them and then said of each layer by its path.

use std::collections::BTreeMap;

use indexmap::IndexMap;

use crate::attach::{AdapterSpec, AttachedSite};
use crate::error::PeftError;
use crate::file::{self, FileError, HostTensor};
use crate::names::ParamNames;
use crate::site::Site;
use crate::target::{Target, TargetRules};

/// Whether a key of the tensors is one of a layer's other name.
pub(super) fn has_other_names(tensors: &BTreeMap<String, HostTensor>, names: &ParamNames) -> bool {
    let is_other = |raw: &String| {
        names
            .other_paths()
            .any(|(_, other)| replaced(raw, other, "").is_some())
    };
    tensors.keys().any(is_other)
}

/// The specification of a folder with other names, by the model's own.
///
/// # Errors
/// What [`AdapterSpec::plan`] says of the sites under their other names.
pub(super) fn own_spec(
    spec: &AdapterSpec,
    names: &ParamNames,
    sites: &[Site],
    heads: &[String],
) -> Result<AdapterSpec, PeftError> {
    let own: BTreeMap<&str, &str> = names
        .other_paths()
        .map(|(own, other)| (other, own))
        .collect();
    let others: BTreeMap<&str, &str> = names.other_paths().collect();
    let sites: Vec<Site> = sites.iter().map(|site| renamed(site, &others)).collect();
    let plan = spec.plan(&sites, heads)?;
    Ok(by_path(spec, &plan.sites, &own))
}

/// The specification of a folder by the other names, from the model's own.
///
/// # Errors
/// What [`AdapterSpec::plan`] says.
pub(super) fn other_spec(
    spec: &AdapterSpec,
    names: &ParamNames,
    sites: &[Site],
    heads: &[String],
) -> Result<AdapterSpec, PeftError> {
    let plan = spec.plan(sites, heads)?;
    Ok(by_path(spec, &plan.sites, &names.other_paths().collect()))
}

/// The tensors with keys by the model's own names.
///
/// # Errors
/// [`FileError::BadKeys`] with every tensor that is there under both names.
pub(super) fn own_keys(
    tensors: BTreeMap<String, HostTensor>,
    names: &ParamNames,
) -> Result<BTreeMap<String, HostTensor>, FileError> {
    let pairs = names.other_paths().map(|(own, other)| (other, own));
    with_keys(tensors, &pairs.collect::<Vec<_>>())
}

/// The tensors with keys by the other names.
///
/// # Errors
/// As [`own_keys`].
pub(super) fn other_keys(
    tensors: BTreeMap<String, HostTensor>,
    names: &ParamNames,
) -> Result<BTreeMap<String, HostTensor>, FileError> {
    with_keys(tensors, &names.other_paths().collect::<Vec<_>>())
}

fn with_keys(
    tensors: BTreeMap<String, HostTensor>,
    pairs: &[(&str, &str)],
) -> Result<BTreeMap<String, HostTensor>, FileError> {
    let mut keyed = BTreeMap::new();
    let mut problems = Vec::new();
    for (raw, tensor) in tensors {
        let found = pairs.iter().find_map(|(from, to)| replaced(&raw, from, to));
        let key = found.unwrap_or_else(|| raw.clone());
        if keyed.insert(key.clone(), tensor).is_some() {
            problems.push(format!(
                "`{raw}` and `{key}`, two names of one layer, are both there"
            ));
        }
    }
    match problems.is_empty() {
        true => Ok(keyed),
        false => Err(FileError::BadKeys { problems }),
    }
}

/// A key below the module `from` as the key of the same tensor below `to`.
fn replaced(raw: &str, from: &str, to: &str) -> Option<String> {
    let key = file::parse_key(raw, &[])?;
    let rest = key.module.strip_prefix(from)?;
    let is_below = rest.is_empty() || rest.starts_with('.');
    is_below.then(|| file::key(&format!("{to}{rest}"), &key.tensor))
}

fn renamed(site: &Site, paths: &BTreeMap<&str, &str>) -> Site {
    let mut site = site.clone();
    if let Some(other) = paths.get(site.path.as_str()) {
        site.path = (*other).to_owned();
    }
    site
}

/// The same for each planned site, named by its path among `paths`.
fn by_path(
    spec: &AdapterSpec,
    planned: &[AttachedSite],
    paths: &BTreeMap<&str, &str>,
) -> AdapterSpec {
    let path = |site: &AttachedSite| {
        let path = site.path.as_str();
        (*paths.get(path).unwrap_or(&path)).to_owned()
    };
    let ranks = planned.iter().filter(|site| site.rank != spec.rank);
    let alphas = planned.iter().filter(|site| site.alpha != spec.alpha);
    AdapterSpec {
        targets: TargetRules::new(Target::List(planned.iter().map(path).collect())),
        rank_pattern: ranks
            .map(|site| (path(site), site.rank))
            .collect::<IndexMap<_, _>>(),
        alpha_pattern: alphas
            .map(|site| (path(site), site.alpha))
            .collect::<IndexMap<_, _>>(),
        ..spec.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::Selector;

    fn model() -> (ParamNames, Vec<Site>) {
        let mut names = ParamNames::new();
        let mut sites = Vec::new();
        for layer in 0..12 {
            for (own, other) in [("query", "q_proj"), ("dense", "fc1")] {
                let own = format!("vit.encoder.layer.{layer}.{own}");
                names.also_called(&own, &format!("vit.layers.{layer}.{other}"));
                sites.push(Site::new(own, 8, 8));
            }
        }
        sites.push(Site::new("classifier", 8, 3));
        (names, sites)
    }

    #[test]
    fn targets_ranks_and_alphas_mean_the_names_of_the_folder() {
        let (names, sites) = model();
        let heads = ["classifier".to_owned()];
        let mut targets = TargetRules::new(Target::Regex(r".*\.(q_proj|fc1)".into()));
        targets.exclude = Some(Selector::Regex(r".*layers\.[2-9]\..*".into()));
        let spec = AdapterSpec {
            targets,
            rank: 4,
            rank_pattern: IndexMap::from([(r"layers.1\..*".to_owned(), 2)]),
            alpha_pattern: IndexMap::from([("fc1".to_owned(), 1.0)]),
            ..AdapterSpec::default()
        };
        let own = own_spec(&spec, &names, &sites, &heads).unwrap();
        let plan = own.plan(&sites, &heads).unwrap();
        let found: Vec<(&str, usize, f64)> = plan
            .sites
            .iter()
            .map(|site| (site.path.as_str(), site.rank, site.alpha))
            .collect();
        let mut expected = Vec::new();
        for (layer, rank) in [(0, 4), (1, 2), (10, 4), (11, 4)] {
            for (name, alpha) in [("query", 16.0), ("dense", 1.0)] {
                expected.push((format!("vit.encoder.layer.{layer}.{name}"), rank, alpha));
            }
        }
        let expected: Vec<(&str, usize, f64)> = expected
            .iter()
            .map(|(path, rank, alpha)| (path.as_str(), *rank, *alpha))
            .collect();
        assert_eq!(found, expected);
        let back = other_spec(&own, &names, &sites, &heads).unwrap();
        let Target::List(paths) = &back.targets.target else {
            panic!("expected a list of paths");
        };
        assert_eq!(paths[2], "vit.layers.1.q_proj");
        assert_eq!(back.rank_pattern["vit.layers.1.q_proj"], 2);
    }

    #[test]
    fn keys_go_there_and_back_and_others_stay() {
        let (names, _) = model();
        let tensor = HostTensor::default();
        let keys = [
            "base_model.model.classifier.weight",
            "base_model.model.vit.layers.1.q_proj.lora_A.weight",
            "base_model.model.vit.layers.11.fc1.lora_B.weight",
        ];
        let tensors: BTreeMap<String, HostTensor> = keys
            .iter()
            .map(|key| ((*key).to_owned(), tensor.clone()))
            .collect();
        assert!(has_other_names(&tensors, &names));
        let own = own_keys(tensors.clone(), &names).unwrap();
        let found: Vec<&str> = own.keys().map(String::as_str).collect();
        let expected = [
            "base_model.model.classifier.weight",
            "base_model.model.vit.encoder.layer.1.query.lora_A.weight",
            "base_model.model.vit.encoder.layer.11.dense.lora_B.weight",
        ];
        assert_eq!(found, expected);
        assert!(!has_other_names(&own, &names));
        assert_eq!(other_keys(own.clone(), &names).unwrap(), tensors);

        let both = tensors.into_iter().chain(own).collect();
        let error = own_keys(both, &names).unwrap_err().to_string();
        assert!(error.contains("two names of one layer"), "{error}");
        assert!(error.contains("layers.11.fc1.lora_B"), "{error}");
    }
}
