//! Adapter folders that call a model's layers by other names than the model's files do.
//!
//! A library may rename the layers of a family in memory and keep its files as they were; adapters that it trains then carry the names of
//! its memory. A model says them with [`ParamNames::also_called`]. And an adapter of a model without a head lacks the name of the body
//! ([`ParamNames::set_body`]): `encoder.layer.0` for `bert.encoder.layer.0`. Ranks, alphas and targets of such a folder mean its own names,
//! so they are looked up by them and then said of each layer by its path.

use std::collections::BTreeMap;

use crate::attached_site::AttachedSite;
use crate::error::PeftError;
use crate::file::{self, FileError, HostTensor};
use crate::names::{Naming, ParamNames};
use crate::spec::AdapterSpec;
use crate::target::{Target, TargetRules};
use peft_format::Site;

/// Paths of modules by another path.
type Paths = BTreeMap<String, String>;

/// The naming that the keys of the tensors have, where it is not the model's own.
pub(super) fn of(tensors: &BTreeMap<String, HostTensor>, names: &ParamNames) -> Option<Naming> {
    let is_in = |naming: &Naming| {
        let foreign = inverted(&names.modules_in(*naming));
        tensors.keys().any(|raw| replaced(raw, &foreign).is_some())
    };
    Naming::FOREIGN.into_iter().find(is_in)
}

/// The specification of a folder with a naming, by the model's own names.
///
/// # Errors
/// What [`AdapterSpec::plan`] says of the sites under their names there.
pub(super) fn own_spec(
    spec: &AdapterSpec,
    names: &ParamNames,
    naming: Naming,
    sites: &[Site],
    heads: &[String],
) -> Result<AdapterSpec, PeftError> {
    let foreign = names.modules_in(naming);
    let sites: Vec<Site> = sites.iter().map(|site| renamed(site, &foreign)).collect();
    let plan = spec.plan(&sites, heads)?;
    Ok(AdapterSpec {
        naming,
        ..by_path(spec, &plan.sites, &inverted(&foreign))
    })
}

/// The specification of a folder with the naming that it has, from the model's own names.
///
/// # Errors
/// What [`AdapterSpec::plan`] says.
pub(super) fn foreign_spec(
    spec: &AdapterSpec,
    names: &ParamNames,
    sites: &[Site],
    heads: &[String],
) -> Result<AdapterSpec, PeftError> {
    let plan = spec.plan(sites, heads)?;
    Ok(by_path(spec, &plan.sites, &names.modules_in(spec.naming)))
}

/// The tensors with keys by the model's own names.
///
/// # Errors
/// [`FileError::BadKeys`] with every tensor that is there under both names.
pub(super) fn own_keys(
    tensors: BTreeMap<String, HostTensor>,
    names: &ParamNames,
    naming: Naming,
) -> Result<BTreeMap<String, HostTensor>, FileError> {
    with_keys(tensors, &inverted(&names.modules_in(naming)))
}

/// The tensors with keys by a naming.
///
/// # Errors
/// As [`own_keys`].
pub(super) fn foreign_keys(
    tensors: BTreeMap<String, HostTensor>,
    names: &ParamNames,
    naming: Naming,
) -> Result<BTreeMap<String, HostTensor>, FileError> {
    with_keys(tensors, &names.modules_in(naming))
}

fn inverted(paths: &Paths) -> Paths {
    let pairs = paths.iter();
    pairs
        .map(|(own, foreign)| (foreign.clone(), own.clone()))
        .collect()
}

fn with_keys(
    tensors: BTreeMap<String, HostTensor>,
    paths: &Paths,
) -> Result<BTreeMap<String, HostTensor>, FileError> {
    let mut keyed = BTreeMap::new();
    let mut problems = Vec::new();
    for (raw, tensor) in tensors {
        let key = replaced(&raw, paths).unwrap_or_else(|| raw.clone());
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

/// A key at or below one of these modules as the key of the same tensor by the module's other path.
fn replaced(raw: &str, paths: &Paths) -> Option<String> {
    let key = file::parse_key(raw, &[])?;
    let mut above = Some(key.module.as_str());
    while let Some(module) = above {
        if let Some(to) = paths.get(module) {
            let rest = &key.module[module.len()..];
            return Some(file::key(&format!("{to}{rest}"), &key.tensor));
        }
        above = module.rsplit_once('.').map(|(above, _)| above);
    }
    None
}

fn renamed(site: &Site, paths: &Paths) -> Site {
    let mut site = site.clone();
    if let Some(other) = paths.get(&site.path) {
        site.path.clone_from(other);
    }
    site
}

/// The same for each planned site, named by its path among `paths`.
fn by_path(spec: &AdapterSpec, planned: &[AttachedSite], paths: &Paths) -> AdapterSpec {
    let named = |path: &String| paths.get(path).unwrap_or(path).clone();
    let foreign: Vec<String> = planned.iter().map(|site| named(&site.path)).collect();
    let ranks = foreign
        .iter()
        .zip(planned)
        .map(|(path, site)| (path.as_str(), site.rank, site.alpha));
    let spec = spec.clone().with_ranks(spec.ranks().by_path(ranks));
    AdapterSpec {
        targets: TargetRules::new(Target::List(foreign)),
        modules_to_save: spec.modules_to_save.iter().map(named).collect(),
        ..spec
    }
}

#[cfg(test)]
mod tests {
    use indexmap::IndexMap;

    use super::*;
    use crate::target::Selector;

    const OTHER: Naming = Naming {
        other: true,
        bare: false,
    };

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
        let own = own_spec(&spec, &names, OTHER, &sites, &heads).unwrap();
        assert_eq!(own.naming, OTHER);
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
        let back = foreign_spec(&own, &names, &sites, &heads).unwrap();
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
        assert_eq!(of(&tensors, &names), Some(OTHER));
        let own = own_keys(tensors.clone(), &names, OTHER).unwrap();
        let found: Vec<&str> = own.keys().map(String::as_str).collect();
        let expected = [
            "base_model.model.classifier.weight",
            "base_model.model.vit.encoder.layer.1.query.lora_A.weight",
            "base_model.model.vit.encoder.layer.11.dense.lora_B.weight",
        ];
        assert_eq!(found, expected);
        assert_eq!(of(&own, &names), None);
        assert_eq!(foreign_keys(own.clone(), &names, OTHER).unwrap(), tensors);

        let both = tensors.into_iter().chain(own).collect();
        let error = own_keys(both, &names, OTHER).unwrap_err().to_string();
        assert!(error.contains("two names of one layer"), "{error}");
        assert!(error.contains("layers.11.fc1.lora_B"), "{error}");
    }

    #[test]
    fn adapters_of_the_body_alone_lack_its_name() {
        let (mut names, _) = model();
        names.set_body("vit");
        let query = "vit.encoder.layer.0.query.weight";
        names.insert(query, crate::names::Layout::Transposed);
        for (key, naming) in [
            ("encoder.layer.0.query.lora_A.weight", (false, true)),
            ("layers.0.q_proj.lora_A.weight", (true, true)),
        ] {
            let tensors = BTreeMap::from([(key.to_owned(), HostTensor::default())]);
            let (other, bare) = naming;
            let naming = Naming { other, bare };
            assert_eq!(of(&tensors, &names), Some(naming), "{key}");
            let own = own_keys(tensors, &names, naming).unwrap();
            let expected = "base_model.model.vit.encoder.layer.0.query.lora_A.weight";
            assert_eq!(own.keys().collect::<Vec<_>>(), [expected]);
        }
    }
}
