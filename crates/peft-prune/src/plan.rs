//! A plan: for every adapted layer whether it keeps its own LoRA or shares one, and what that costs. A readable JSON file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use peft_core::file::input::{CONFIG_LIMIT, read_plain_text};
use peft_core::file::{FileError, write_atomic};
use peft_core::lora::Scaling;
use serde::{Deserialize, Serialize};

use crate::planned_site::{PlannedSite, after};
use crate::ranking::Ranking;
use crate::score::{ScoreKind, SiteScore};
use crate::select::{Budget, Scope, keeps};

/// What this crate writes.
const VERSION: u32 = 1;

/// Which layers keep their own LoRA.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Version of this layout: 1.
    pub version: u32,
    /// What was measured.
    pub score: ScoreKind,
    /// What was compared with what.
    pub scope: Scope,
    /// How much was to be kept.
    pub budget: Budget,
    /// How the adapter scaled its products.
    pub scaling: Scaling,
    /// Parameters of the adapter before.
    pub parameters_before: usize,
    /// Parameters of the adapter after: shared ones count once.
    pub parameters_after: usize,
    /// Every site, in the order of the model.
    pub sites: Vec<PlannedSite>,
}

/// What can be wrong with a plan or its file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// There is nothing to plan.
    #[error("no adapted layer to plan for")]
    Empty,
    /// A score that is no number from 0 on.
    #[error("site `{site}`: expected a score of 0 or more, found {score}")]
    Score {
        /// Path of the site.
        site: String,
        /// Its score.
        score: f64,
    },
    /// A budget outside 0 to 1.
    #[error("expected a share from 0 to 1, found {found}")]
    Budget {
        /// What was asked for.
        found: f64,
    },
    /// The file is no plan.
    #[error("{}: no plan: {message}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// The file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
}

impl Plan {
    /// Decides by scores which sites keep their own LoRA; of each type and shape, all others share that of the first of them.
    ///
    /// Where every score of a scope is 0 (`B` still zero), nothing can be told and all its sites keep their own. A site that would share
    /// with nobody keeps its own, which is the same.
    ///
    /// # Errors
    /// [`PlanError::Empty`], [`PlanError::Score`] and [`PlanError::Budget`].
    pub fn make(
        scores: &[SiteScore],
        score: ScoreKind,
        scope: Scope,
        budget: Budget,
        scaling: Scaling,
    ) -> Result<Self, PlanError> {
        let (Budget::Threshold(found) | Budget::Parameters(found)) = budget;
        if !(0.0..=1.0).contains(&found) {
            return Err(PlanError::Budget { found });
        }
        if scores.is_empty() {
            return Err(PlanError::Empty);
        }
        if let Some(bad) = scores
            .iter()
            .find(|s| !(s.score >= 0.0 && s.score.is_finite()))
        {
            return Err(PlanError::Score {
                site: bad.site.path.clone(),
                score: bad.score,
            });
        }
        let ranking = Ranking::of(scores, scope);
        let kept = match budget {
            Budget::Threshold(threshold) => {
                ranking.kept(|share, before| keeps(threshold, before, share))
            }
            Budget::Parameters(share) => ranking.within(share),
        };
        let sites = ranking.sites(&kept);
        Ok(Self {
            version: VERSION,
            score,
            scope,
            budget,
            scaling,
            parameters_before: sites.iter().map(PlannedSite::parameters).sum(),
            parameters_after: after(&sites),
            sites,
        })
    }

    /// Each site that shares, with the site whose LoRA it shares.
    #[must_use]
    pub fn shared(&self) -> IndexMap<String, String> {
        let shares = |site: &PlannedSite| Some((site.path.clone(), site.shares.clone()?));
        self.sites.iter().filter_map(shares).collect()
    }

    /// Whether a site has a LoRA of its own that no other site uses.
    #[must_use]
    pub fn is_private(&self, site: &PlannedSite) -> bool {
        let mut owners = self.sites.iter().filter_map(|other| other.shares.as_ref());
        site.shares.is_none() && !owners.any(|owner| *owner == site.path)
    }

    /// How many sites [`Self::is_private`] is true of.
    #[must_use]
    pub fn private(&self) -> usize {
        self.sites
            .iter()
            .filter(|site| self.is_private(site))
            .count()
    }

    /// Writes the plan, whole or not at all.
    ///
    /// # Errors
    /// [`PlanError::File`], and [`PlanError::Malformed`] where the plan cannot be put into JSON.
    pub fn write(&self, path: &Path) -> Result<(), PlanError> {
        let text = serde_json::to_string_pretty(self).map_err(|error| PlanError::Malformed {
            path: path.to_path_buf(),
            message: error.to_string(),
        })?;
        Ok(write_atomic(path, text.as_bytes())?)
    }

    /// Reads a plan and checks that it is consistent.
    ///
    /// # Errors
    /// [`PlanError::Malformed`] with what is wrong.
    pub fn read(path: &Path) -> Result<Self, PlanError> {
        let malformed = |message: String| PlanError::Malformed {
            path: path.to_path_buf(),
            message,
        };
        let text =
            read_plain_text(path, CONFIG_LIMIT).map_err(|error| malformed(error.to_string()))?;
        let plan: Self =
            serde_json::from_str(&text).map_err(|error| malformed(error.to_string()))?;
        if plan.version != VERSION {
            return Err(malformed(format!(
                "expected version {VERSION}, found {}; it was written by another version of this program",
                plan.version
            )));
        }
        match plan.inconsistency() {
            Some(message) => Err(malformed(message)),
            None => Ok(plan),
        }
    }

    /// What makes it no plan: no sites, one twice, or one that cannot share as it says.
    fn inconsistency(&self) -> Option<String> {
        if self.sites.is_empty() {
            return Some("it has no sites".to_owned());
        }
        let mut known: BTreeMap<&str, &PlannedSite> = BTreeMap::new();
        for site in &self.sites {
            if let Some(owner) = &site.shares {
                let Some(other) = known.get(owner.as_str()) else {
                    return Some(format!(
                        "`{}` shares with `{owner}`, which does not stand before it",
                        site.path
                    ));
                };
                let sizes = |s: &PlannedSite| (s.d_in, s.d_out, s.rank);
                if other.shares.is_some() || sizes(other) != sizes(site) {
                    return Some(format!(
                        "`{}` cannot share with `{owner}`: it has another size or shares itself",
                        site.path
                    ));
                }
            }
            if known.insert(&site.path, site).is_some() {
                return Some(format!("`{}` stands there twice", site.path));
            }
        }
        None
    }
}
