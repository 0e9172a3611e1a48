//! Observers of a forward pass: statistics are collected by whoever asks, never stored in a layer.

use burn::tensor::{Bool, Int, Tensor};

use peft_format::Site;

/// What one adapter added to the output of one site in one forward pass.
#[derive(Debug)]
pub struct DeltaEvent<'a> {
    /// The adapted layer.
    pub site: &'a Site,
    /// Name of the adapter.
    pub adapter: &'a str,
    /// What goes into the layer, shape `[rows, d_in]`.
    pub input: &'a Tensor<2>,
    /// The adapter's contribution, shape `[rows, d_out]`, rows in the order of the input's tokens.
    pub delta: &'a Tensor<2>,
    /// Rows that are padding and say nothing, shape `[rows, 1]`; absent where none is.
    pub padding: Option<&'a Tensor<2, Bool>>,
}

/// Which experts the rows of one site went to in one forward pass.
#[derive(Debug)]
pub struct RoutingEvent<'a> {
    /// The adapted layer.
    pub site: &'a Site,
    /// The router's probability of each expert, shape `[rows, experts]`.
    pub probabilities: &'a Tensor<2>,
    /// The experts that each row goes to, shape `[rows, top_k]`.
    pub chosen: &'a Tensor<2, Int>,
    /// Rows that are padding and say nothing, shape `[rows, 1]`; absent where none is.
    pub padding: Option<&'a Tensor<2, Bool>>,
}

/// Receives what happens at each adapted site during an observed pass.
pub trait Observer {
    /// Called once per site and active adapter.
    fn delta(&mut self, event: &DeltaEvent<'_>);

    /// Called once per site and active adapter that chooses among experts.
    fn routing(&mut self, _event: &RoutingEvent<'_>) {}
}

/// Several observers of one pass.
pub struct Observers<'a>(pub Vec<&'a mut dyn Observer>);

impl std::fmt::Debug for Observers<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Observers").field(&self.0.len()).finish()
    }
}

impl Observer for Observers<'_> {
    fn delta(&mut self, event: &DeltaEvent<'_>) {
        self.0.iter_mut().for_each(|observer| observer.delta(event));
    }

    fn routing(&mut self, event: &RoutingEvent<'_>) {
        self.0
            .iter_mut()
            .for_each(|observer| observer.routing(event));
    }
}
