//! Members that agree about the base model and about the dimensions of their sites.

use std::collections::BTreeMap;

use indexmap::IndexMap;

use super::member::Member;
use crate::error::{MemberFault, MemberProblem};

/// Which adapters are of one base.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Bases {
    /// Those whose bases have names with the same last part.
    #[default]
    Named,
    /// Also those of other names that have a layer in common with them, and no layer of another size: a quantised copy of a base, or the
    /// same files in another place, has a name of its own.
    ByLayers,
}

/// Takes out the members that disagree with most of the others.
pub(super) fn agreeing(members: Vec<Member>, bases: Bases) -> (Vec<Member>, Vec<MemberProblem>) {
    let base = most_common(members.iter().filter_map(base_of));
    let widths = match (&base, bases) {
        (Some(base), Bases::ByLayers) => {
            widths(members.iter().filter(|member| is_of(member, base)))
        }
        _ => BTreeMap::new(),
    };
    let (members, mut problems) = split(members, |member| {
        let (expected, found) = (base.clone()?, base_of(member)?.to_owned());
        if is_of(member, &expected) {
            return None;
        }
        Some(match bases {
            Bases::Named => MemberFault::Base { expected, found },
            Bases::ByLayers if fits(member, &widths) => return None,
            Bases::ByLayers => MemberFault::Layers { expected, found },
        })
    });
    let widths = self::widths(members.iter());
    let (members, disagreeing) = split(members, |member| {
        member.sites().iter().find_map(|(path, site)| {
            let (expected, found) = (*widths.get(path)?, (site.d_in, site.d_out));
            (expected != found).then(|| MemberFault::Width {
                site: path.clone(),
                expected,
                found,
            })
        })
    });
    problems.extend(disagreeing);
    (members, problems)
}

/// The size of each site that most of these members give it.
fn widths<'a>(members: impl Iterator<Item = &'a Member>) -> BTreeMap<String, (usize, usize)> {
    let mut widths: BTreeMap<String, Vec<(usize, usize)>> = BTreeMap::new();
    for (path, site) in members.flat_map(|member| member.sites()) {
        let width = (site.d_in, site.d_out);
        widths.entry(path.clone()).or_default().push(width);
    }
    let widths = widths.into_iter();
    widths
        .filter_map(|(path, found)| Some((path, most_common_of(found, |width| *width)?)))
        .collect()
}

/// Whether a member has a site of these, and each of them in its size.
fn fits(member: &Member, widths: &BTreeMap<String, (usize, usize)>) -> bool {
    let known = member.sites().iter().filter_map(|(path, site)| {
        let width = widths.get(path)?;
        Some(*width == (site.d_in, site.d_out))
    });
    let known: Vec<bool> = known.collect();
    !known.is_empty() && known.iter().all(|same| *same)
}

/// Whether a member names this base, or none.
fn is_of(member: &Member, base: &str) -> bool {
    base_of(member).is_none_or(|found| last_part(found) == last_part(base))
}

fn base_of(member: &Member) -> Option<&str> {
    member.config().base_model_name_or_path.as_deref()
}

/// `roberta-base` of `FacebookAI/roberta-base` and of a path: publishers rename their organisations, and a trainer's machine has paths.
pub(crate) fn last_part(base: &str) -> &str {
    let base = base.trim_end_matches(['/', '\\']);
    base.rsplit(['/', '\\']).next().unwrap_or(base)
}

fn most_common<'a>(bases: impl Iterator<Item = &'a str>) -> Option<String> {
    most_common_of(bases.map(str::to_owned), |base| last_part(base).to_owned())
}

/// The first item of the largest group; among groups of one size, that which came first.
fn most_common_of<T, K: std::hash::Hash + Eq>(
    items: impl IntoIterator<Item = T>,
    key: impl Fn(&T) -> K,
) -> Option<T> {
    let mut groups: IndexMap<K, (usize, T)> = IndexMap::new();
    for item in items {
        groups.entry(key(&item)).or_insert((0, item)).0 += 1;
    }
    let most = groups.values().map(|(count, _)| *count).max()?;
    groups
        .into_values()
        .find_map(|(count, item)| (count == most).then_some(item))
}

fn split(
    members: Vec<Member>,
    fault: impl Fn(&Member) -> Option<MemberFault>,
) -> (Vec<Member>, Vec<MemberProblem>) {
    let (mut kept, mut problems) = (Vec::new(), Vec::new());
    for member in members {
        match fault(&member) {
            None => kept.push(member),
            Some(fault) => problems.push(MemberProblem {
                folder: member.folder().to_owned(),
                fault,
            }),
        }
    }
    (kept, problems)
}
