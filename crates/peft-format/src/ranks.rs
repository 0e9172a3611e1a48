//! Rank and alpha of every adapted layer, by PEFT's rules: the usual ones, patterns for layers that have others, and the factor of the product
//! `A B` that follows from both.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::file::PeftConfig;
use crate::target::{TargetError, pattern_value};

/// The largest rank: more than the width of the layers of any model here, and little enough that a slip of the pen does not take all memory.
pub const LARGEST_RANK: usize = 1 << 16;
/// The largest size of alpha: far beyond any in use, and products with it stay far from what f32 holds.
pub const LARGEST_ALPHA: f64 = 1e9;

/// How alpha and rank make the factor of the product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scaling {
    /// `alpha / rank`.
    Standard,
    /// `alpha / sqrt(rank)`: the size of the update no longer falls with the rank.
    RankStabilized,
}

impl Scaling {
    /// The factor of the product `A B`.
    #[must_use]
    pub fn factor(self, rank: usize, alpha: f64) -> f64 {
        match self {
            Self::Standard => alpha / rank as f64,
            Self::RankStabilized => alpha / (rank as f64).sqrt(),
        }
    }

    /// How a folder's configuration scales the product.
    #[must_use]
    pub fn of(config: &PeftConfig) -> Self {
        if config.use_rslora {
            Self::RankStabilized
        } else {
            Self::Standard
        }
    }
}

/// Which rank and alpha each layer has.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranks {
    /// Rank where no pattern says otherwise.
    pub rank: usize,
    /// Alpha where no pattern says otherwise.
    pub alpha: f64,
    /// Path pattern to rank; the first that matches wins.
    pub rank_pattern: IndexMap<String, usize>,
    /// Path pattern to alpha; the first that matches wins.
    pub alpha_pattern: IndexMap<String, f64>,
}

impl Ranks {
    /// What a configuration says.
    #[must_use]
    pub fn of(config: &PeftConfig) -> Self {
        Self {
            rank: config.r,
            alpha: config.lora_alpha,
            rank_pattern: config.rank_pattern.clone(),
            alpha_pattern: config.alpha_pattern.clone(),
        }
    }

    /// Of layers one by one, each `(path, rank, alpha)`: usual is what most of them have, of equally many the largest, and every other layer
    /// has a pattern that matches its path alone. Without layers, 1.
    #[must_use]
    pub fn of_sites<'a>(sites: impl IntoIterator<Item = (&'a str, usize, f64)>) -> Self {
        let sites: Vec<_> = sites.into_iter().collect();
        let ranks = || sites.iter().map(|(path, rank, _)| (*path, *rank));
        let alphas = || sites.iter().map(|(path, _, alpha)| (*path, *alpha));
        let rank = usual(ranks(), Ord::cmp).unwrap_or(1);
        let alpha = usual(alphas(), f64::total_cmp).unwrap_or(1.0);
        Self {
            rank,
            alpha,
            rank_pattern: others(ranks(), rank, only),
            alpha_pattern: others(alphas(), alpha, only),
        }
    }

    /// The same usual ones, and for each of these layers, `(path, rank, alpha)`, that has others its path as a pattern.
    #[must_use]
    pub fn by_path<'a>(&self, sites: impl IntoIterator<Item = (&'a str, usize, f64)>) -> Self {
        let sites: Vec<_> = sites.into_iter().collect();
        let ranks = sites.iter().map(|(path, rank, _)| (*path, *rank));
        let alphas = sites.iter().map(|(path, _, alpha)| (*path, *alpha));
        Self {
            rank: self.rank,
            alpha: self.alpha,
            rank_pattern: others(ranks, self.rank, str::to_owned),
            alpha_pattern: others(alphas, self.alpha, str::to_owned),
        }
    }

    /// Rank and alpha of the layer at `path`.
    ///
    /// # Errors
    /// A pattern that is no valid regular expression, or one that backtracks too long.
    pub fn at(&self, path: &str) -> Result<(usize, f64), TargetError> {
        let rank = pattern_value(&self.rank_pattern, path)?.unwrap_or(&self.rank);
        let alpha = pattern_value(&self.alpha_pattern, path)?.unwrap_or(&self.alpha);
        Ok((*rank, *alpha))
    }

    /// Every rank and every alpha so many times as large.
    #[must_use]
    pub fn times(mut self, rank: usize, alpha: f64) -> Self {
        self.rank *= rank;
        self.alpha *= alpha;
        self.rank_pattern
            .values_mut()
            .for_each(|value| *value *= rank);
        self.alpha_pattern
            .values_mut()
            .for_each(|value| *value *= alpha);
        self
    }

    /// The same ranks, with an alpha that makes the factor 1 everywhere ([`Scaling::Standard`]).
    #[must_use]
    pub fn of_factor_one(self) -> Self {
        let pattern = self.rank_pattern.iter();
        Self {
            alpha: self.rank as f64,
            alpha_pattern: pattern
                .map(|(key, rank)| (key.clone(), *rank as f64))
                .collect(),
            ..self
        }
    }

    /// Writes them into a configuration.
    pub fn describe(self, config: &mut PeftConfig) {
        config.r = self.rank;
        config.lora_alpha = self.alpha;
        config.rank_pattern = self.rank_pattern;
        config.alpha_pattern = self.alpha_pattern;
    }
}

/// The value that most layers have, of equally many the largest.
fn usual<'a, V: Copy + PartialEq>(
    sites: impl Iterator<Item = (&'a str, V)>,
    order: impl Fn(&V, &V) -> std::cmp::Ordering,
) -> Option<V> {
    let values: Vec<V> = sites.map(|(_, value)| value).collect();
    let count = |value: &V| values.iter().filter(|other| *other == value).count();
    let by_count = |left: &&V, right: &&V| {
        let counts = count(left).cmp(&count(right));
        counts.then_with(|| order(left, right))
    };
    values.iter().max_by(by_count).copied()
}

/// A pattern for each layer with another value than the usual one.
fn others<'a, V: PartialEq>(
    sites: impl Iterator<Item = (&'a str, V)>,
    usual: V,
    pattern: impl Fn(&str) -> String,
) -> IndexMap<String, V> {
    let others = sites.filter(|(_, value)| *value != usual);
    others.map(|(path, value)| (pattern(path), value)).collect()
}

/// The pattern that matches one path and no other that ends in it.
fn only(path: &str) -> String {
    format!("^{}", path.replace('.', "\\."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_layers_need_no_pattern_and_every_layer_has_its_own_numbers() {
        let sites = [
            ("a.q", 4, 8.0),
            ("a.v", 2, 8.0),
            ("b.a.q", 4, 4.0),
            ("b.a.v", 8, 1.0),
        ];
        let ranks = Ranks::of_sites(sites);
        assert_eq!((ranks.rank, ranks.alpha), (4, 8.0));
        assert_eq!(ranks.rank_pattern["^a\\.v"], 2);
        assert_eq!(ranks.alpha_pattern.len(), 2);
        for (path, rank, alpha) in sites {
            assert_eq!(ranks.at(path).unwrap(), (rank, alpha), "{path}");
        }
    }

    #[test]
    fn of_equally_many_the_largest_is_usual_and_nothing_is_one() {
        let ranks = Ranks::of_sites([("a", 2, 2.0), ("b", 3, 3.0)]);
        assert_eq!((ranks.rank, ranks.alpha), (3, 3.0));
        let none = Ranks::of_sites([]);
        assert_eq!((none.rank, none.alpha), (1, 1.0));
    }

    #[test]
    fn a_configuration_keeps_them_and_the_factor_can_be_made_one() {
        let ranks = Ranks::of_sites([("a", 2, 4.0), ("b", 2, 4.0), ("c", 3, 1.0)]);
        let mut config = PeftConfig::new("LORA", crate::target::Target::AllLinear);
        ranks.clone().times(2, 3.0).describe(&mut config);
        let twice = Ranks::of(&config);
        assert_eq!(twice.at("a").unwrap(), (4, 12.0));
        assert_eq!(twice.at("c").unwrap(), (6, 3.0));
        let one = ranks.of_factor_one();
        for path in ["a", "c"] {
            let (rank, alpha) = one.at(path).unwrap();
            assert_eq!(Scaling::Standard.factor(rank, alpha), 1.0);
        }
    }
}
