//! Selecting sites by target rules, and near misses for what matched nothing.

use std::collections::BTreeSet;

use super::pattern::Pattern;
use super::{NoMatch, Selector, Target, TargetError, TargetRules, UnmatchedTarget};
use crate::site::{Site, SiteKind};

/// How many near misses are named for one entry.
const NEAR: usize = 3;
/// Names less similar than this (Jaro-Winkler, 0 to 1) are no near misses.
const SIMILAR: f64 = 0.75;

/// The sites that target rules select.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Indices into the given sites, ascending.
    pub matched: Vec<usize>,
    /// List entries that match no site. Not fatal: published adapters often carry some.
    pub unmatched: Vec<UnmatchedTarget>,
}

impl TargetRules {
    /// Selects the sites to adapt.
    ///
    /// `output_heads` are the paths that `all-linear` leaves out (`classifier`, `score`, `lm_head`), compared as
    /// whole paths. A site that contains a name of `modules_to_save` as a segment is never selected.
    ///
    /// # Errors
    ///
    /// Contradicting rules, an unusable pattern, or [`TargetError::NoMatch`] when nothing is selected.
    pub fn select(
        &self,
        sites: &[Site],
        output_heads: &[&str],
        modules_to_save: &[String],
    ) -> Result<Selection, TargetError> {
        self.check()?;
        let target = TargetMatcher::new(&self.target)?;
        let filter = Filter::new(self, modules_to_save)?;
        let mut selection = Selection::default();
        let mut dropped = Vec::new();
        for (index, site) in sites.iter().enumerate() {
            if !target.matches(site, output_heads)? {
                continue;
            }
            if filter.keeps(&site.path, target.names_exactly(&site.path))? {
                selection.matched.push(index);
            } else {
                dropped.push(site.path.clone());
            }
        }
        selection.unmatched = unmatched_entries(&self.target, sites);
        if selection.matched.is_empty() {
            return Err(no_match(&self.target, sites, selection.unmatched, dropped));
        }
        Ok(selection)
    }
}

/// `path == entry`, or `path` ends with `"." + entry`.
fn has_suffix(path: &str, entry: &str) -> bool {
    path.strip_suffix(entry)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

enum TargetMatcher<'a> {
    List(&'a [String]),
    Regex(Pattern),
    AllLinear,
}

impl<'a> TargetMatcher<'a> {
    fn new(target: &'a Target) -> Result<Self, TargetError> {
        Ok(match target {
            Target::List(entries) => Self::List(entries),
            Target::Regex(pattern) => Self::Regex(Pattern::full("target_modules", pattern)?),
            Target::AllLinear => Self::AllLinear,
        })
    }

    fn matches(&self, site: &Site, output_heads: &[&str]) -> Result<bool, TargetError> {
        let path = site.path.as_str();
        match self {
            Self::List(entries) => Ok(entries.iter().any(|entry| has_suffix(path, entry))),
            Self::Regex(pattern) => pattern.is_match(path),
            Self::AllLinear => {
                Ok(site.kind != SiteKind::Embedding && !output_heads.contains(&path))
            }
        }
    }

    /// Whether a list entry is the whole path: such sites skip the layer rules.
    fn names_exactly(&self, path: &str) -> bool {
        matches!(self, Self::List(entries) if entries.iter().any(|entry| entry == path))
    }
}

/// Rules that drop sites which the target matches.
struct Filter<'a> {
    exclude: Option<SelectorMatcher<'a>>,
    saved: Vec<Pattern>,
    layers: Option<&'a [usize]>,
    layer_index: Vec<Pattern>,
}

enum SelectorMatcher<'a> {
    List(&'a [String]),
    Regex(Pattern),
}

impl<'a> Filter<'a> {
    fn new(rules: &'a TargetRules, modules_to_save: &[String]) -> Result<Self, TargetError> {
        let exclude = match &rules.exclude {
            None => None,
            Some(Selector::List(entries)) => Some(SelectorMatcher::List(entries)),
            Some(Selector::Regex(pattern)) => Some(SelectorMatcher::Regex(Pattern::full(
                "exclude_modules",
                pattern,
            )?)),
        };
        let saved = modules_to_save
            .iter()
            .map(|name| {
                Pattern::prefix("modules_to_save", name, &format!(r"(^|.*\.){name}($|\..*)"))
            })
            .collect::<Result<_, _>>()?;
        let layer_index = if rules.layers_pattern.is_empty() {
            vec![Pattern::prefix(
                "layers_pattern",
                "",
                r".*?\.[^.]*\.(\d+)\.",
            )?]
        } else {
            let wrap = |name: &String| {
                Pattern::prefix(
                    "layers_pattern",
                    name,
                    &format!(r"(?:^|.*?\.){name}\.(\d+)\."),
                )
            };
            rules
                .layers_pattern
                .iter()
                .map(wrap)
                .collect::<Result<_, _>>()?
        };
        let layers = rules
            .layers_to_transform
            .as_deref()
            .filter(|layers| !layers.is_empty());
        Ok(Self {
            exclude,
            saved,
            layers,
            layer_index,
        })
    }

    fn keeps(&self, path: &str, exact: bool) -> Result<bool, TargetError> {
        let excluded = match &self.exclude {
            None => false,
            Some(SelectorMatcher::List(entries)) => {
                entries.iter().any(|entry| has_suffix(path, entry))
            }
            Some(SelectorMatcher::Regex(pattern)) => pattern.is_match(path)?,
        };
        if excluded {
            return Ok(false);
        }
        for saved in &self.saved {
            if saved.is_match(path)? {
                return Ok(false);
            }
        }
        match self.layers {
            Some(layers) if !exact => Ok(self
                .layer_of(path)?
                .is_some_and(|layer| layers.contains(&layer))),
            _ => Ok(true),
        }
    }

    /// The layer index by the first pattern that matches.
    fn layer_of(&self, path: &str) -> Result<Option<usize>, TargetError> {
        for pattern in &self.layer_index {
            if let Some(index) = pattern.last_group(path)? {
                return Ok(index.and_then(|digits| digits.parse().ok()));
            }
        }
        Ok(None)
    }
}

fn unmatched_entries(target: &Target, sites: &[Site]) -> Vec<UnmatchedTarget> {
    let Target::List(entries) = target else {
        return Vec::new();
    };
    entries
        .iter()
        .filter(|entry| !sites.iter().any(|site| has_suffix(&site.path, entry)))
        .map(|entry| UnmatchedTarget {
            entry: entry.clone(),
            near: near_misses(entry, sites),
        })
        .collect()
}

/// Suffixes of site paths with as many segments as the entry, most similar first.
fn near_misses(entry: &str, sites: &[Site]) -> Vec<String> {
    let segments = entry.split('.').count();
    let candidates: BTreeSet<&str> = sites
        .iter()
        .map(|site| last_segments(&site.path, segments))
        .collect();
    let wanted = entry.to_lowercase();
    let mut scored: Vec<(f64, &str)> = candidates
        .into_iter()
        .map(|name| (strsim::jaro_winkler(&wanted, &name.to_lowercase()), name))
        .filter(|(score, _)| *score >= SIMILAR)
        .collect();
    scored.sort_by(|(left, _), (right, _)| right.total_cmp(left));
    scored
        .into_iter()
        .take(NEAR)
        .map(|(_, name)| name.to_owned())
        .collect()
}

fn last_segments(path: &str, count: usize) -> &str {
    match path.rmatch_indices('.').nth(count - 1) {
        Some((dot, _)) => &path[dot + 1..],
        None => path,
    }
}

fn no_match(
    target: &Target,
    sites: &[Site],
    mut unmatched: Vec<UnmatchedTarget>,
    dropped: Vec<String>,
) -> TargetError {
    let written = match target {
        Target::List(entries) => format!("[{}]", entries.join(", ")),
        Target::AllLinear => super::ALL_LINEAR.to_owned(),
        Target::Regex(pattern) => {
            if dropped.is_empty() {
                unmatched.push(UnmatchedTarget {
                    entry: pattern.clone(),
                    near: near_misses(pattern, sites),
                });
            }
            format!("`{pattern}`")
        }
    };
    let roles: BTreeSet<&str> = sites.iter().map(Site::role).collect();
    let roles = roles.into_iter().map(str::to_owned).collect();
    TargetError::NoMatch(Box::new(NoMatch {
        target: written,
        unmatched,
        dropped,
        roles,
    }))
}
