//! What travels with one forward pass through a model.

use burn::tensor::{Distribution, Tensor};

use crate::observe::{DeltaEvent, Observer};

/// The context of one forward pass: training or evaluation, and who is watching.
///
/// Layers never keep statistics of a forward; whoever wants them passes an [`Observer`] here.
#[derive(Default)]
pub struct Pass<'a> {
    training: bool,
    observer: Option<&'a mut dyn Observer>,
}

impl std::fmt::Debug for Pass<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pass")
            .field("training", &self.training)
            .field("observed", &self.observer.is_some())
            .finish()
    }
}

impl<'a> Pass<'a> {
    /// A training pass: dropout is active.
    #[must_use]
    pub fn train() -> Self {
        Self {
            training: true,
            observer: None,
        }
    }

    /// An evaluation pass: no dropout, deterministic.
    #[must_use]
    pub fn eval() -> Self {
        Self::default()
    }

    /// The same pass, with every adapter's delta reported to `observer`.
    #[must_use]
    pub fn with_observer(mut self, observer: &'a mut dyn Observer) -> Self {
        self.observer = Some(observer);
        self
    }

    /// Whether dropout is active.
    #[must_use]
    pub fn is_training(&self) -> bool {
        self.training
    }

    /// Whether somebody watches this pass.
    #[must_use]
    pub fn is_observed(&self) -> bool {
        self.observer.is_some()
    }

    /// Reports what one adapter added at one site.
    pub fn observe(&mut self, event: &DeltaEvent<'_>) {
        if let Some(observer) = self.observer.as_deref_mut() {
            observer.delta(event);
        }
    }

    /// Inverted dropout: `x * mask / (1 - probability)` while training, `x` itself otherwise.
    ///
    /// The mask comes from the device's random stream; seed it before each step for exact repetition.
    #[must_use]
    pub fn dropout<const D: usize>(&self, x: Tensor<D>, probability: f64) -> Tensor<D> {
        if !self.training || probability <= 0.0 {
            return x;
        }
        let keep = 1.0 - probability;
        let mask = Tensor::<D>::random(x.dims(), Distribution::Bernoulli(keep), &x.device());
        x * mask.detach().div_scalar(keep)
    }
}
