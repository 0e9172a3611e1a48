//! Writing a selection as a short list of names that selects exactly the same sites.

use std::collections::{BTreeMap, BTreeSet};

use super::TargetError;
use crate::site::Site;

/// The list that `all-linear` is written as: the shortest path suffixes that select the sites numbered
/// `selected` and no other module.
///
/// Modules that contain sites count as others, so that an entry never names a container: PEFT refuses those.
///
/// # Errors
///
/// [`TargetError::NotExpressible`] if a site that is not selected, or a container, ends with a selected path.
pub fn expand_all_linear(sites: &[Site], selected: &[usize]) -> Result<Vec<String>, TargetError> {
    let chosen: BTreeSet<&str> = selected
        .iter()
        .filter_map(|&index| sites.get(index))
        .map(|site| site.path.as_str())
        .collect();
    let others: BTreeSet<&str> = sites
        .iter()
        .flat_map(|site| containers(&site.path).chain([site.path.as_str()]))
        .filter(|path| !chosen.contains(path))
        .collect();
    let chosen: Vec<&str> = chosen.into_iter().collect();
    let others: Vec<&str> = others.into_iter().collect();
    minimal_suffixes(&chosen, &others)
}

/// The shortest dotted suffixes that together match every path in `selected` and none in `others`, sorted.
///
/// PEFT's greedy choice: paths are taken in the order of their last segments, and each one that is not covered
/// yet adds its shortest suffix that no other path has.
///
/// # Errors
///
/// [`TargetError::NotExpressible`] if one of `others` equals a selected path or ends with it.
pub fn minimal_suffixes(selected: &[&str], others: &[&str]) -> Result<Vec<String>, TargetError> {
    let mut taken: BTreeMap<&str, &str> = BTreeMap::new();
    for other in others {
        for suffix in suffixes(other) {
            taken.insert(suffix, other);
        }
    }
    let mut paths: Vec<Vec<&str>> = selected.iter().map(|path| suffixes(path)).collect();
    paths.sort();

    let mut chosen: BTreeSet<&str> = BTreeSet::new();
    for suffixes in paths {
        if suffixes.iter().any(|suffix| chosen.contains(suffix)) {
            continue;
        }
        match suffixes.iter().find(|suffix| !taken.contains_key(*suffix)) {
            Some(suffix) => chosen.insert(suffix),
            None => {
                let path = suffixes.last().copied().unwrap_or_default();
                let other = taken.get(path).copied().unwrap_or_default();
                return Err(TargetError::NotExpressible {
                    path: path.to_owned(),
                    other: other.to_owned(),
                });
            }
        };
    }
    Ok(chosen.into_iter().map(str::to_owned).collect())
}

/// All dotted suffixes of a path, shortest first; the last one is the path.
fn suffixes(path: &str) -> Vec<&str> {
    path.rmatch_indices('.')
        .map(|(dot, _)| &path[dot + 1..])
        .chain([path])
        .collect()
}

/// The modules above a path: `a` and `a.b` for `a.b.c`.
fn containers(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('.').map(|(dot, _)| &path[..dot])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_segments_are_enough_when_they_are_unambiguous() {
        let selected = ["m.0.q", "m.1.q", "m.0.v", "m.1.v"];
        assert_eq!(minimal_suffixes(&selected, &["m.0.k"]).unwrap(), ["q", "v"]);
    }

    #[test]
    fn an_ambiguous_last_segment_grows_to_the_left() {
        let selected = [
            "bert.layer.0.output.dense",
            "bert.layer.0.attention.output.dense",
        ];
        let list = minimal_suffixes(&selected, &["bert.pooler.dense"]).unwrap();
        assert_eq!(list, ["output.dense"]);
    }

    #[test]
    fn a_container_with_the_name_of_a_site_is_not_selected() {
        let sites = [
            Site::new("m.0.output", 2, 2),
            Site::new("m.0.attention.output.dense", 2, 2),
        ];
        assert_eq!(
            expand_all_linear(&sites, &[0, 1]).unwrap(),
            ["0.output", "dense"]
        );
    }

    #[test]
    fn a_path_that_is_the_end_of_another_cannot_be_listed() {
        let error = minimal_suffixes(&["a.q"], &["x.a.q"]).unwrap_err();
        assert!(
            matches!(&error, TargetError::NotExpressible { path, other } if path == "a.q" && other == "x.a.q"),
            "{error}"
        );
    }
}
