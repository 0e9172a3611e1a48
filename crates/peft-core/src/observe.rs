//! Observers of a forward pass: statistics are collected by whoever asks, never stored in a layer.

use burn::tensor::{Bool, Tensor};
use indexmap::IndexMap;

use crate::site::Site;

/// What one adapter added to the output of one site in one forward pass.
#[derive(Debug)]
pub struct DeltaEvent<'a> {
    /// The adapted layer.
    pub site: &'a Site,
    /// Name of the adapter.
    pub adapter: &'a str,
    /// The adapter's contribution, shape `[rows, d_out]`, rows in the order of the input's tokens.
    pub delta: &'a Tensor<2>,
}

/// Receives what happens at each adapted site during an observed pass.
pub trait Observer {
    /// Called once per site and active adapter.
    fn delta(&mut self, event: &DeltaEvent<'_>);
}

/// Sums the squared norm of every adapter's output per site: `sum over tokens of ||delta(x)||^2`.
///
/// Streaming: one number per site is kept, never an activation. Padding rows are left out when a mask is set.
#[derive(Debug, Default)]
pub struct OutputNorms {
    keep: Option<Tensor<2>>,
    sums: IndexMap<String, f64>,
}

impl OutputNorms {
    /// No sums yet and no mask.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Rows to leave out in the passes that follow: `true` marks padding, shape `[batch, seq]`.
    pub fn set_padding(&mut self, padding: Option<Tensor<2, Bool>>) {
        self.keep = padding.map(|mask| {
            let rows = mask.dims().iter().product::<usize>();
            mask.bool_not().float().reshape([rows, 1])
        });
    }

    /// Site path to summed squared norm, in the order of the forward pass.
    #[must_use]
    pub fn sums(&self) -> &IndexMap<String, f64> {
        &self.sums
    }
}

impl Observer for OutputNorms {
    fn delta(&mut self, event: &DeltaEvent<'_>) {
        let squared = event.delta.clone().powi_scalar(2);
        let squared = match &self.keep {
            Some(keep) => squared * keep.clone(),
            None => squared,
        };
        let sum = squared.sum().into_scalar::<f32>();
        *self.sums.entry(event.site.path.clone()).or_insert(0.0) += f64::from(sum);
    }
}
