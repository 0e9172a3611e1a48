//! Which layers keep their own adapter.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Sums of shares that miss 1 by rounding count as 1.
const ROUNDING: f64 = 1e-12;

/// What importance is shared out among.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// The layers of one type: queries compete with queries.
    #[default]
    PerType,
    /// All layers.
    Global,
}

impl Scope {
    /// What a layer of this type competes in: equal keys share out one importance.
    pub(crate) fn key(self, kind: &str) -> &str {
        match self {
            Self::PerType => kind,
            Self::Global => "",
        }
    }
}

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Budget {
    /// The most important layers until their shares add up to this; the one that crosses it is kept.
    Threshold(f64),
    /// As many layers as fit into this share of the parameters.
    Parameters(f64),
}

/// Every score as a share of its scope's sum; all zero where the sum is.
pub(crate) fn shares(scores: &[f64], groups: &[&str], scope: Scope) -> Vec<f64> {
    let group = |index: usize| scope.key(groups[index]);
    let mut sums: BTreeMap<&str, f64> = BTreeMap::new();
    for (index, score) in scores.iter().enumerate() {
        *sums.entry(group(index)).or_default() += score;
    }
    let share = |(index, score): (usize, &f64)| {
        let sum = sums[group(index)];
        if sum > 0.0 { score / sum } else { 0.0 }
    };
    scores.iter().enumerate().map(share).collect()
}

/// For each site, the shares of its scope that come before it: a threshold `T` keeps it when they are below `T` (and its own is not 0).
pub(crate) fn before(shares: &[f64], groups: &[&str], scope: Scope) -> Vec<f64> {
    let mut order: Vec<usize> = (0..shares.len()).collect();
    // Equal shares keep the order of the model.
    order.sort_by(|a, b| shares[*b].total_cmp(&shares[*a]));
    let mut sums: BTreeMap<&str, f64> = BTreeMap::new();
    let mut before = vec![0.0; shares.len()];
    for index in order {
        let sum = sums.entry(scope.key(groups[index])).or_default();
        before[index] = *sum;
        *sum += shares[index];
    }
    before
}

/// Whether a threshold keeps a site.
pub(crate) fn keeps(threshold: f64, before: f64, share: f64) -> bool {
    share > 0.0 && before < threshold - ROUNDING
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kept(scores: &[f64], threshold: f64) -> Vec<usize> {
        let groups = vec![""; scores.len()];
        let shares = shares(scores, &groups, Scope::PerType);
        let before = before(&shares, &groups, Scope::PerType);
        (0..scores.len())
            .filter(|i| keeps(threshold, before[*i], shares[*i]))
            .collect()
    }

    proptest! {
        /// The shares add up to 1; the kept ones are the greatest, reach the threshold, and would not without the least of them.
        #[test]
        fn the_kept_are_the_smallest_prefix_that_reaches_the_threshold(
            scores in prop::collection::vec(0.0_f64..5.0, 1..30),
            threshold in 0.01_f64..1.0,
        ) {
            let groups = vec![""; scores.len()];
            let all = shares(&scores, &groups, Scope::Global);
            let sum: f64 = all.iter().sum();
            prop_assume!(sum > 0.0);
            prop_assert!((sum - 1.0).abs() < 1e-9);
            let kept = kept(&scores, threshold);
            let least = kept.iter().map(|i| all[*i]).fold(f64::INFINITY, f64::min);
            let dropped = (0..all.len()).filter(|i| !kept.contains(i));
            for index in dropped {
                prop_assert!(all[index] <= least);
            }
            let total: f64 = kept.iter().map(|i| all[*i]).sum();
            prop_assert!(total >= threshold - 1e-9);
            prop_assert!(total - least < threshold);
        }
    }

    #[test]
    fn a_threshold_of_one_keeps_all_that_counts_and_of_almost_nothing_one() {
        assert_eq!(kept(&[0.1, 0.0, 0.7, 0.2], 1.0), [0, 2, 3]);
        assert_eq!(kept(&[0.1, 0.0, 0.7, 0.2], 1e-9), [2]);
        assert_eq!(kept(&[0.1, 0.0, 0.7, 0.2], 0.0), Vec::<usize>::new());
        assert_eq!(
            kept(&[3.0, 3.0, 3.0], 0.5),
            [0, 1],
            "equal ones in the model's order"
        );
        assert_eq!(kept(&[1.0 / 3.0; 3], 1.0), [0, 1, 2], "rounding loses none");
    }

    #[test]
    fn types_compete_by_themselves_or_with_all() {
        let (scores, groups) = ([8.0, 2.0, 0.3, 0.1], ["q", "q", "v", "v"]);
        let own = shares(&scores, &groups, Scope::PerType);
        assert!((own[0] - 0.8).abs() < 1e-12 && (own[2] - 0.75).abs() < 1e-12);
        let all = shares(&scores, &groups, Scope::Global);
        assert!((all.iter().sum::<f64>() - 1.0).abs() < 1e-12 && all[2] < all[1]);
        assert_eq!(before(&own, &groups, Scope::PerType)[2], 0.0);
        assert!(before(&all, &groups, Scope::Global)[2] > 0.9);
    }
}
