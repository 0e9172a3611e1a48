//! Sites in the order of their importance, and the plans that keep some of them.

use indexmap::IndexMap;
use peft_core::{AttachedSite, Site};

use crate::planned_site::{PlannedSite, after};
use crate::score::SiteScore;
use crate::select::{Scope, before, shares};

/// The sites with their shares and what comes before each.
pub(crate) struct Ranking<'a> {
    scores: &'a [SiteScore],
    kinds: Vec<String>,
    shares: Vec<f64>,
    before: Vec<f64>,
    /// Whether anything is known of the site's scope.
    known: Vec<bool>,
}

impl<'a> Ranking<'a> {
    pub(crate) fn of(scores: &'a [SiteScore], scope: Scope) -> Self {
        let kinds: Vec<String> = scores
            .iter()
            .map(|s| Site::module_type(&s.site.path))
            .collect();
        let groups: Vec<&str> = kinds.iter().map(String::as_str).collect();
        let values: Vec<f64> = scores.iter().map(|s| s.score).collect();
        let all = shares(&values, &groups, scope);
        let before = before(&all, &groups, scope);
        let same = |a: usize, b: usize| scope.key(groups[a]) == scope.key(groups[b]);
        let known = (0..all.len())
            .map(|a| (0..all.len()).any(|b| same(a, b) && values[b] > 0.0))
            .collect();
        Self {
            known,
            shares: all,
            before,
            scores,
            kinds,
        }
    }

    pub(crate) fn kept(&self, keeps: impl Fn(f64, f64) -> bool) -> Vec<bool> {
        let indices = 0..self.scores.len();
        indices
            .map(|i| !self.known[i] || keeps(self.shares[i], self.before[i]))
            .collect()
    }

    /// The greatest threshold whose plan has at most this share of the parameters; no threshold at all keeps the fewest.
    pub(crate) fn within(&self, share: f64) -> Vec<bool> {
        let whole: usize = self
            .sites(&vec![true; self.scores.len()])
            .iter()
            .map(PlannedSite::parameters)
            .sum();
        let mut order: Vec<usize> = (0..self.scores.len()).collect();
        // Sites without a score come last.
        let place = |i: usize| (self.shares[i] <= 0.0, self.before[i]);
        order.sort_by(|a, b| {
            let (a, b) = (place(*a), place(*b));
            a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))
        });
        let mut kept = self.kept(|_, _| false);
        for index in order {
            let mut more = kept.clone();
            more[index] = true;
            if after(&self.sites(&more)) as f64 > share * whole as f64 {
                break;
            }
            kept = more;
        }
        kept
    }

    /// The sites, those that are not kept sharing with the first of their type and size.
    pub(crate) fn sites(&self, kept: &[bool]) -> Vec<PlannedSite> {
        let mut owners: IndexMap<(&str, usize, usize, usize, u64), &str> = IndexMap::new();
        let mut planned = Vec::with_capacity(kept.len());
        for (index, SiteScore { site, score }) in self.scores.iter().enumerate() {
            let AttachedSite {
                d_in,
                d_out,
                rank,
                alpha,
                ..
            } = *site;
            let group = (
                self.kinds[index].as_str(),
                d_in,
                d_out,
                rank,
                alpha.to_bits(),
            );
            let shares = match (kept[index], owners.get(&group)) {
                (true, _) => None,
                (false, Some(owner)) => Some((*owner).to_owned()),
                (false, None) => {
                    owners.insert(group, &site.path);
                    None
                }
            };
            planned.push(PlannedSite {
                path: site.path.clone(),
                kind: self.kinds[index].clone(),
                d_in,
                d_out,
                rank,
                alpha,
                score: *score,
                importance: self.shares[index],
                shares,
            });
        }
        planned
    }
}
