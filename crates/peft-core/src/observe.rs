//! Observers of a forward pass: statistics are collected by whoever asks, never stored in a layer.

use burn::tensor::{Bool, Tensor};

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
    /// Rows that are padding and say nothing, shape `[rows, 1]`; absent where none is.
    pub padding: Option<&'a Tensor<2, Bool>>,
}

/// Receives what happens at each adapted site during an observed pass.
pub trait Observer {
    /// Called once per site and active adapter.
    fn delta(&mut self, event: &DeltaEvent<'_>);
}
