//! What a plan says of one site.

use serde::{Deserialize, Serialize};

/// What is decided of one site.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedSite {
    /// Path of the layer.
    pub path: String,
    /// Its type: the path with `*` for numbers.
    pub kind: String,
    /// Input width.
    pub d_in: usize,
    /// Output width.
    pub d_out: usize,
    /// Rank of its LoRA.
    pub rank: usize,
    /// Alpha of its LoRA.
    pub alpha: f64,
    /// The score that was measured.
    pub score: f64,
    /// The score as a share of its scope.
    pub importance: f64,
    /// The site whose LoRA it shares; absent where it has its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shares: Option<String>,
}

impl PlannedSite {
    /// `rank * (d_in + d_out)`.
    pub(crate) fn parameters(&self) -> usize {
        self.rank * (self.d_in + self.d_out)
    }
}

/// Parameters with those that are shared counted once.
pub(crate) fn after(sites: &[PlannedSite]) -> usize {
    let own = sites.iter().filter(|site| site.shares.is_none());
    own.map(PlannedSite::parameters).sum()
}
