//! Why adapters cannot be combined.

use crate::error::{RecycleError, SubspaceError};

/// Why adapters cannot be combined.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CombineError {
    /// Not one weight for each adapter.
    #[error("expected one weight for each of the {expected} adapters, found {found}")]
    Weights {
        /// Number of adapters.
        expected: usize,
        /// Number of weights.
        found: usize,
    },
    /// A weight that is no number.
    #[error("the weight of `{name}` is {weight}: expected a finite number")]
    Weight {
        /// Name of the adapter.
        name: String,
        /// Its weight.
        weight: f64,
    },
    /// A density outside of its range.
    #[error("expected a density {expected}, found {found}")]
    Density {
        /// Its range.
        expected: &'static str,
        /// What was asked for.
        found: f64,
    },
    /// Factors of different rank in a mode that mixes factors.
    #[error(
        "site `{site}`: factors of different rank cannot be mixed entry by entry, found {}: combine the updates instead (exact, svd, or the same arithmetic on updates)",
        listed(.ranks)
    )]
    Ranks {
        /// Path of the site.
        site: String,
        /// Name and rank of each adapter that has the site.
        ranks: Vec<(String, usize)>,
    },
    /// Adapters of DoRA, whose effect is no sum.
    #[error(
        "the update of DoRA is no product of its factors, so that it cannot be added to others: export {} as plain LoRA first",
        names.join(", ")
    )]
    Dora {
        /// Names of the adapters.
        names: Vec<String>,
    },
    /// Heads that have no average.
    #[error(
        "the tensors that are no factors (heads, biases) have no average: {}; say whose are to be taken (--head NAME)",
        problems.join("; ")
    )]
    Heads {
        /// Each tensor and what is wrong with it.
        problems: Vec<String>,
    },
    /// The adapter whose head is to be taken is not one of them.
    #[error("no adapter `{name}` to take the head of; there are: {}", known.join(", "))]
    NoMember {
        /// The name.
        name: String,
        /// The names that there are.
        known: Vec<String>,
    },
    /// A site whose sum cannot be decomposed or written.
    #[error("site `{site}`")]
    Site {
        /// Path of the site.
        site: String,
        /// What is wrong.
        #[source]
        source: SubspaceError,
    },
    /// The adapters cannot be read, or the result cannot be written.
    #[error(transparent)]
    Recycle(#[from] RecycleError),
}

fn listed(ranks: &[(String, usize)]) -> String {
    let ranks: Vec<String> = ranks
        .iter()
        .map(|(name, rank)| format!("{rank} in `{name}`"))
        .collect();
    ranks.join(", ")
}
