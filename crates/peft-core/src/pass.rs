//! What travels with one forward pass through a model.

mod carried;
mod recompute;

use burn::tensor::{Bool, Int, Tensor};
use peft_kernels::derive_seed;

use crate::observe::{DeltaEvent, Observer, RoutingEvent};
use crate::rows::RowAdapters;
use carried::Carried;
use peft_format::Site;
use recompute::Segment;

/// The context of one forward pass: training or evaluation, and who is watching.
///
/// Layers never keep statistics of a forward; whoever wants them passes an [`Observer`] here.
#[derive(Default)]
pub struct Pass<'a> {
    pub(crate) dropout: Option<DropoutStream>,
    /// Blocks to be computed again; absent where all is kept.
    pub(crate) segments: Option<Vec<Segment>>,
    observer: Option<&'a mut dyn Observer>,
    rows: Option<&'a RowAdapters>,
    pub(crate) padding: Option<Tensor<2, Bool>>,
    pub(crate) carried: Carried,
    /// Losses of layers, on top of the task's.
    pub(crate) losses: Vec<Tensor<1>>,
    /// What the losses of layers came to in [`Self::backward`].
    pub(crate) loss_of_layers: Option<Tensor<1>>,
}

/// Where the masks of a training pass come from: one seed, and how many masks it has given.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DropoutStream {
    pub(crate) seed: u64,
    pub(crate) masks: u64,
}

impl std::fmt::Debug for Pass<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pass")
            .field("dropout", &self.dropout)
            .field("observed", &self.observer.is_some())
            .field("rows", &self.rows)
            .field("recomputes", &self.segments.is_some())
            .finish()
    }
}

impl<'a> Pass<'a> {
    /// A training pass: dropout is active, and its masks follow from `seed`.
    #[must_use]
    pub fn train(seed: u64) -> Self {
        Self {
            dropout: Some(DropoutStream { seed, masks: 0 }),
            ..Self::default()
        }
    }

    /// A pass that draws masks from where `dropout` stands, with what earlier layers left.
    pub(crate) fn replaying(
        dropout: Option<DropoutStream>,
        padding: Option<Tensor<2, Bool>>,
        carried: Carried,
    ) -> Self {
        Self {
            dropout,
            padding,
            carried,
            ..Self::default()
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

    /// The same pass, with an adapter of its own for each row of the batch; which adapters are active no longer
    /// matters. Such a pass has no observer, which would see rows out of order.
    #[must_use]
    pub fn with_rows(self, rows: &'a RowAdapters) -> Self {
        Self {
            rows: Some(rows),
            observer: None,
            ..self
        }
    }

    /// The adapter of each row of the batch, if rows have their own.
    #[must_use]
    pub fn rows(&self) -> Option<&'a RowAdapters> {
        self.rows
    }

    /// Says which rows of the layers that follow are padding (`true`), shape `[batch, seq]`, for whoever takes sums over rows.
    pub fn set_padding(&mut self, padding: Option<Tensor<2, Bool>>) {
        self.padding = padding.map(|mask| {
            let rows = mask.dims().iter().product::<usize>();
            mask.reshape([rows, 1])
        });
    }

    /// Which of `rows` rows are padding, shape `[rows, 1]`; `None` where none is.
    #[must_use]
    pub fn padding(&self, rows: usize) -> Option<&Tensor<2, Bool>> {
        let padding = self.padding.as_ref();
        padding.filter(|padding| padding.dims()[0] == rows)
    }

    /// Adds a loss of a layer, which [`Self::backward`] adds to the task's; evaluation has none.
    pub fn add_loss(&mut self, loss: Tensor<1>) {
        if self.is_training() && loss.is_tracked() {
            self.losses.push(loss);
        }
    }

    /// What the losses of layers came to in the backward passes so far, shape `[1]`; `None` where no layer has any.
    #[must_use]
    pub fn loss_of_layers(&self) -> Option<Tensor<1>> {
        self.loss_of_layers.clone()
    }

    /// Whether dropout is active.
    #[must_use]
    pub fn is_training(&self) -> bool {
        self.dropout.is_some()
    }

    /// Whether somebody watches this pass.
    #[must_use]
    pub fn is_observed(&self) -> bool {
        self.observer.is_some()
    }

    /// Reports what one adapter added at one site.
    pub(crate) fn observe(
        &mut self,
        site: &Site,
        adapter: &str,
        input: &Tensor<2>,
        delta: &Tensor<2>,
    ) {
        if !self.is_observed() {
            return;
        }
        let padding = self.padding(delta.dims()[0]).cloned();
        if let Some(observer) = self.observer.as_deref_mut() {
            observer.delta(&DeltaEvent {
                site,
                adapter,
                input,
                delta,
                padding: padding.as_ref(),
            });
        }
    }

    /// Reports which experts the rows of a layer go to.
    ///
    /// # Shapes
    /// `probabilities [rows, experts]`, `chosen [rows, top_k]`.
    pub fn observe_routing(
        &mut self,
        site: &Site,
        probabilities: &Tensor<2>,
        chosen: &Tensor<2, Int>,
    ) {
        if !self.is_observed() {
            return;
        }
        let padding = self.padding(chosen.dims()[0]).cloned();
        if let Some(observer) = self.observer.as_deref_mut() {
            observer.routing(&RoutingEvent {
                site,
                probabilities,
                chosen,
                padding: padding.as_ref(),
            });
        }
    }

    /// A seed for masks that a layer draws by itself, another one at each call; `None` where nothing is dropped.
    pub fn mask_seed(&mut self) -> Option<u64> {
        let stream = self.dropout.as_mut()?;
        stream.masks += 1;
        Some(derive_seed(stream.seed, stream.masks))
    }

    /// Inverted dropout: `x * mask / (1 - probability)` while training, `x` itself otherwise.
    ///
    /// The n-th mask of a pass follows from the pass's seed and n; on backends without a fused kernel it comes from
    /// the device's random stream, to be seeded before each step for exact repetition.
    #[must_use]
    pub fn dropout<const D: usize>(&mut self, x: Tensor<D>, probability: f64) -> Tensor<D> {
        if probability <= 0.0 {
            return x;
        }
        match self.mask_seed() {
            Some(seed) => peft_kernels::dropout(x, probability, seed),
            None => x,
        }
    }

    /// What decides the next mask, for operations that drop by themselves: the probability and a seed.
    #[must_use]
    pub fn mask(&mut self, probability: f64) -> Option<(f64, u64)> {
        if probability <= 0.0 {
            return None;
        }
        Some((probability, self.mask_seed()?))
    }

    /// As [`Self::dropout`], and nothing where that would be `x` itself.
    #[must_use]
    pub fn dropped<const D: usize>(
        &mut self,
        x: &Tensor<D>,
        probability: f64,
    ) -> Option<Tensor<D>> {
        let drops = probability > 0.0 && self.is_training();
        drops.then(|| self.dropout(x.clone(), probability))
    }
}
