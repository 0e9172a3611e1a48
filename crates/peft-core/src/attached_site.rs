//! A site and the size of its adapter.

use serde::Serialize;

/// A site that gets, or would get, an adapter.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AttachedSite {
    /// Path of the layer.
    pub path: String,
    /// Input width.
    pub d_in: usize,
    /// Output width.
    pub d_out: usize,
    /// Rank there.
    pub rank: usize,
    /// Alpha there.
    pub alpha: f64,
    /// Parameters that train there: not those that the site shares with another one. What the adapter has once for all sites is counted at
    /// the first.
    pub trainable: usize,
}
