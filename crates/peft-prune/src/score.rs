//! What a layer's adapter is worth.

use burn::tensor::Tensor;
use indexmap::IndexMap;
use peft_core::{AttachedSite, Layers};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// By what layers are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScoreKind {
    /// Sum over tokens of `||scale B A h||^2`: LoRA-drop's.
    #[default]
    Output,
    /// Sum over tokens of `||scale B A h||`.
    OutputL2,
    /// `||scale B A||_F^2`: what the parameters say without data.
    Parameters,
    /// `||dL/dA||_F^2 + ||dL/dB||_F^2`, summed over batches.
    Gradient,
    /// At random, from a seed.
    Random,
}

/// A site with its score, in any unit.
#[derive(Debug, Clone, PartialEq)]
pub struct SiteScore {
    /// Where, and how large.
    pub site: AttachedSite,
    /// At least 0; greater matters more.
    pub score: f64,
}

/// The sites in their order with the scores of a map; sites that it lacks have none.
#[must_use]
pub fn scored(sites: &[AttachedSite], scores: &IndexMap<String, f64>) -> Vec<SiteScore> {
    let score = |site: &AttachedSite| SiteScore {
        score: scores.get(&site.path).copied().unwrap_or(0.0),
        site: site.clone(),
    };
    sites.iter().map(score).collect()
}

/// `||scale B A||_F^2` of the adapter called `name` at every site, from its factors: `trace((A^T A)(B B^T))`.
pub fn parameter_norms(layers: &dyn Layers, name: &str) -> IndexMap<String, f64> {
    let mut norms = IndexMap::new();
    layers.each(&mut |linear| {
        let adapter = linear.adapter(name).and_then(|adapter| adapter.low_rank());
        if let Some((a, b)) = adapter {
            norms.insert(linear.site().path.clone(), squared_norm(a, b));
        }
    });
    norms
}

/// `||A B||_F^2` without the product: `sum (A^T A) o (B B^T)`.
fn squared_norm(a: Tensor<2>, b: Tensor<2>) -> f64 {
    let gram = a.clone().transpose().matmul(a) * b.clone().matmul(b.transpose());
    peft_core::read_number(gram.sum())
}

/// A number from 0 to 1 for every site, a function of the seed and the order of the sites.
#[must_use]
pub fn random_scores(sites: &[AttachedSite], seed: u64) -> IndexMap<String, f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let draw = |site: &AttachedSite| (site.path.clone(), rng.random::<f64>());
    sites.iter().map(draw).collect()
}
