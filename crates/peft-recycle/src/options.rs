//! What can be chosen of a subspace and of a basis.

use serde::{Deserialize, Serialize};

/// What becomes of the mean column `mu` of `X [d, n]`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Mean {
    /// `mu` is not treated apart: the components are the left singular vectors of `X`. Exact at full rank.
    #[default]
    Uncentred,
    /// The components of `X - mu`, and one more: what is left of `mu` orthogonally to them. Exact at full rank.
    Direction,
    /// The components `C` of `X - mu`, and `mu` is kept: `x` becomes `mu + C C^T (x - mu)`. Exact at full rank, but affine: an adapter in
    /// these coordinates is no linear function of them.
    Stored,
    /// The components of `X - mu`, and `mu` is forgotten: `x` becomes `C C^T x`. As the published code does it, for comparison only: even at
    /// full rank it does not reproduce the adapters that the components were made of.
    Reference,
}

impl Mean {
    /// Whether the components are those of `X - mu`.
    pub(crate) fn centres(self) -> bool {
        self != Self::Uncentred
    }
}

/// How many principal components are kept. Both are clamped to the numerical rank: what lies beyond it is rounding.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Components {
    /// As many.
    Fixed(usize),
    /// As few as reach this share of the variance, from 0 to 1: the sum of their `sigma^2` by that of all.
    Variance(f64),
}

/// How a [`crate::Subspace`] is made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SubspaceOptions {
    /// What becomes of the mean.
    pub mean: Mean,
    /// How many principal components.
    pub components: Components,
    /// How many random directions orthogonal to them (and to each other) are added.
    pub pseudo: usize,
    /// Seed of the random directions.
    pub seed: u64,
}

impl SubspaceOptions {
    /// So many principal components and nothing else.
    #[must_use]
    pub fn fixed(components: usize) -> Self {
        Self {
            mean: Mean::default(),
            components: Components::Fixed(components),
            pseudo: 0,
            seed: 0,
        }
    }

    /// The same with another treatment of the mean.
    #[must_use]
    pub fn with_mean(self, mean: Mean) -> Self {
        Self { mean, ..self }
    }
}

/// What is one vector of a subspace.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Variant {
    /// Each column of `A^T [d_in, r]` and of `B [d_out, r]`. Adapters of different rank can be mixed; an adapter is `2 k r` numbers per site.
    #[default]
    Columns,
    /// Each whole factor. Adapters must be of one rank; an adapter is `2 k` numbers per site.
    Flat,
}

/// How a [`crate::Basis`] is made.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BasisOptions {
    /// What is one vector.
    pub variant: Variant,
    /// What becomes of the mean.
    pub mean: Mean,
    /// How many principal components per site and side.
    pub components: Components,
    /// How many random directions per site and side.
    pub pseudo: usize,
    /// Seed of the random directions; each site and side has its own from it.
    pub seed: u64,
}

impl Default for BasisOptions {
    /// 32 components of single columns, without centring, as in the experiments of the paper.
    fn default() -> Self {
        Self {
            variant: Variant::default(),
            mean: Mean::default(),
            components: Components::Fixed(32),
            pseudo: 0,
            seed: 0,
        }
    }
}

impl BasisOptions {
    /// The options of one subspace, with the seed of its own.
    pub(crate) fn subspace(&self, seed: u64) -> SubspaceOptions {
        SubspaceOptions {
            mean: self.mean,
            components: self.components,
            pseudo: self.pseudo,
            seed,
        }
    }
}
