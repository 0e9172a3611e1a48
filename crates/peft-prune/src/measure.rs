//! Importance by output: how far a layer's adapter moves what the layer says.

use burn::tensor::Tensor;
use indexmap::IndexMap;
use peft_core::{DeltaEvent, Observer};
use serde::{Deserialize, Serialize};

use crate::score::ScoreKind;

/// How the output of an adapter is measured at one token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OutputNorm {
    /// `||delta||_2^2`.
    #[default]
    Squared,
    /// `||delta||_2`.
    Plain,
}

/// Sums `||scale B A h||` or its square over the tokens of every pass, for each site; rows of padding are left out.
///
/// Streaming: one number per site is kept, never an activation, whatever the number of samples.
#[derive(Debug, Default)]
pub struct OutputImportance {
    norm: OutputNorm,
    sums: IndexMap<String, f64>,
}

impl OutputImportance {
    /// No sums yet.
    #[must_use]
    pub fn new(norm: OutputNorm) -> Self {
        Self {
            norm,
            sums: IndexMap::new(),
        }
    }

    /// By the norm of a score of outputs.
    #[must_use]
    pub fn of(score: ScoreKind) -> Self {
        Self::new(match score {
            ScoreKind::OutputL2 => OutputNorm::Plain,
            _ => OutputNorm::Squared,
        })
    }

    /// Site path to sum, in the order of the forward pass.
    #[must_use]
    pub fn sums(&self) -> &IndexMap<String, f64> {
        &self.sums
    }
}

impl Observer for OutputImportance {
    fn delta(&mut self, event: &DeltaEvent<'_>) {
        let delta: Tensor<2> = event.delta.clone().without_autodiff();
        let squares = (delta.clone() * delta).sum_dim(1); // [rows, 1]
        let norms = match self.norm {
            OutputNorm::Squared => squares,
            OutputNorm::Plain => squares.sqrt(),
        };
        let norms = match event.padding {
            Some(padding) => norms.mask_fill(padding.clone(), 0.0),
            None => norms,
        };
        let sum = peft_core::read_number(norms.sum());
        *self.sums.entry(event.site.path.clone()).or_insert(0.0) += sum;
    }
}
