//! Measuring the layers of an adapter, whoever holds model and data.

use std::collections::HashMap;

use burn::module::ParamId;
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use indexmap::IndexMap;
use peft_core::lora::Scaling;
use peft_core::{AttachedSite, Layers, Observer};

use crate::measure::OutputImportance;
use crate::score::{ScoreKind, parameter_norms, random_scores};

/// What a measurement found.
#[derive(Debug)]
pub struct Measured {
    /// Adapted sites in the model's order.
    pub sites: Vec<AttachedSite>,
    /// Site path to score.
    pub scores: IndexMap<String, f64>,
    /// How the adapter scales its products.
    pub scaling: Scaling,
    /// Examples that were looked at.
    pub examples: usize,
    /// How long that took.
    pub seconds: f64,
}

/// A model with an adapter, and examples to run it over.
pub trait Sample {
    /// What can go wrong with an example.
    type Error;

    /// Runs the model over the sample, in evaluation, for an observer.
    ///
    /// # Errors
    /// What went wrong with an example.
    fn observe(&mut self, observer: &mut dyn Observer) -> Result<(), Self::Error>;

    /// Gives `each` the gradients of the loss, batch by batch.
    ///
    /// # Errors
    /// What went wrong with an example.
    fn gradients(&mut self, each: &mut dyn FnMut(&GradientsParams)) -> Result<(), Self::Error>;
}

/// Scores that need no data; `None` for those that are measured on a sample.
#[must_use]
pub fn without_data(
    score: ScoreKind,
    layers: &dyn Layers,
    adapter: &str,
    sites: &[AttachedSite],
    seed: u64,
) -> Option<IndexMap<String, f64>> {
    match score {
        ScoreKind::Parameters => Some(parameter_norms(layers, adapter)),
        ScoreKind::Random => Some(random_scores(sites, seed)),
        ScoreKind::Output | ScoreKind::OutputL2 | ScoreKind::Gradient => None,
    }
}

/// Scores that are measured on a sample; `factors` says which site a parameter of a low-rank pair belongs to.
///
/// # Errors
/// What went wrong with an example.
pub fn on_sample<S: Sample>(
    score: ScoreKind,
    sample: &mut S,
    factors: &HashMap<ParamId, String>,
) -> Result<IndexMap<String, f64>, S::Error> {
    if score != ScoreKind::Gradient {
        let mut seen = OutputImportance::of(score);
        sample.observe(&mut seen)?;
        return Ok(seen.sums().clone());
    }
    let mut norms = IndexMap::new();
    sample.gradients(&mut |grads| {
        for (id, site) in factors {
            if let Some(gradient) = grads.get::<2>(*id) {
                *norms.entry(site.clone()).or_insert(0.0) += squared(gradient);
            }
        }
    })?;
    Ok(norms)
}

fn squared(tensor: Tensor<2>) -> f64 {
    peft_core::read_number(tensor.powi_scalar(2).sum())
}
