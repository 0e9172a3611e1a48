//! Gradient checkpointing: blocks whose insides are not kept for the backward pass but computed again there (Chen et al. 2016, "Training
//! Deep Nets with Sublinear Memory Cost", arXiv 1604.06174).
//!
//! A recording [`Pass`] runs each block without autodiff and keeps its input and output alone. [`Pass::backward`] then goes from the last
//! block to the first: it runs the block again, this time tracked, and sends the gradient of its output through it. Dropout draws the same
//! masks again. One more forward per step buys memory for one block in place of all.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Bool, Gradients, Tensor};
use peft_kernels::derive_seed;

use crate::pass::{DropoutStream, Pass};

/// A block that ran without being tracked.
pub(crate) struct Segment {
    /// What the input came from, when it was no output of another segment.
    origin: Option<Tensor<2>>,
    /// A leaf of the graph, as is `output`; or not part of it, where nothing below trains.
    input: Tensor<2>,
    output: Tensor<2>,
    /// The state of the masks before the block.
    dropout: Option<DropoutStream>,
    padding: Option<Tensor<2, Bool>>,
    run: Box<Run>,
}

/// A block with everything it reads besides its input.
type Run = dyn Fn(Tensor<2>, &mut Pass<'_>) -> Tensor<2>;

impl Pass<'_> {
    /// The same pass, whose blocks are computed again in [`Pass::backward`] rather than kept.
    #[must_use]
    pub fn with_recomputation(mut self) -> Self {
        self.segments = Some(Vec::new());
        self
    }

    /// `run(block, x, given, self)`, as a block that may be computed again: `given` is what it reads besides `x` (masks, rotations),
    /// which gets no gradient.
    pub fn block<B: Module + 'static, C: Module + 'static>(
        &mut self,
        block: &B,
        x: Tensor<2>,
        given: &C,
        run: impl Fn(&B, Tensor<2>, &C, &mut Pass<'_>) -> Tensor<2> + 'static,
    ) -> Tensor<2> {
        let records = self.segments.is_some() && self.rows().is_none() && x.device().is_autodiff();
        if !records || !(x.is_tracked() || trains(block)) {
            return run(block, x, given, self);
        }
        let dropout = self.dropout;
        seed(dropout, &x);
        let untracked = x.clone().without_autodiff();
        let output = run(&block.valid(), untracked, &given.valid(), self);
        let output = Tensor::from_inner(output).require_grad();
        let (input, origin) = if x.is_require_grad() || !x.is_tracked() {
            (x, None)
        } else {
            (x.clone().detach().require_grad(), Some(x))
        };
        let (block, given) = (block.clone(), given.clone());
        let segment = Segment {
            origin,
            input,
            output: output.clone(),
            dropout,
            padding: self.padding.clone(),
            run: Box::new(move |x, pass| run(&block, x, &given, pass)),
        };
        self.segments.get_or_insert_default().push(segment);
        output
    }

    /// The backward pass of `share * (loss + losses of layers)`, for a loss that this pass computed: hands the gradients of every part to `each`, those of what comes after the
    /// last recorded block first. A parameter that several parts use appears in each.
    pub fn backward(&mut self, loss: Tensor<1>, share: f64, mut each: impl FnMut(Gradients)) {
        let segments = self.segments.as_mut().map(std::mem::take);
        let mut segments = segments.unwrap_or_default();
        // An output may be used by more than the next block: its gradient is the sum over all parts.
        let mut pending: Vec<Option<Tensor<2>>> = segments.iter().map(|_| None).collect();
        let mut take =
            |gradients: Gradients, segments: &[Segment], pending: &mut [Option<Tensor<2>>]| {
                for (segment, sum) in segments.iter().zip(pending) {
                    if let Some(gradient) = segment.output.grad(&gradients) {
                        *sum = Some(match sum.take() {
                            Some(sum) => sum + gradient,
                            None => gradient,
                        });
                    }
                }
                each(gradients);
            };
        let loss = self.with_losses_of_layers(loss.mul_scalar(share), share);
        take(loss.backward(), &segments, &mut pending);
        while let Some(segment) = segments.pop() {
            let Some(gradient) = pending.pop().flatten() else {
                continue;
            };
            let of_layers = segment.backward(gradient, share, |gradients| {
                take(gradients, &segments, &mut pending)
            });
            self.count_losses(of_layers);
        }
    }

    /// `sum + share * losses of layers`; each counts once.
    fn with_losses_of_layers(&mut self, sum: Tensor<1>, share: f64) -> Tensor<1> {
        let losses = std::mem::take(&mut self.losses);
        let Some(own) = losses.into_iter().reduce(|a, b| a + b) else {
            return sum;
        };
        let own = own.mul_scalar(share);
        self.count_losses(Some(f64::from(own.clone().into_scalar::<f32>())));
        sum + own
    }

    fn count_losses(&mut self, value: Option<f64>) {
        if let Some(value) = value {
            *self.loss_of_layers.get_or_insert_default() += value;
        }
    }
}

impl Segment {
    /// Sends the gradient of the output through the block, computed again; returns what the losses of its layers came to.
    fn backward(
        self,
        gradient: Tensor<2>,
        share: f64,
        mut each: impl FnMut(Gradients),
    ) -> Option<f64> {
        seed(self.dropout, &self.input);
        let mut pass = Pass::replaying(self.dropout, self.padding);
        let output = (self.run)(self.input.clone(), &mut pass);
        let loss = pass.with_losses_of_layers(along(output, gradient), share);
        let gradients = loss.backward();
        let below = self.input.grad(&gradients);
        each(gradients);
        if let (Some(origin), Some(gradient)) = (self.origin, below) {
            each(along(origin, gradient).backward());
        }
        pass.loss_of_layers
    }
}

/// Whether a block has parameters that train.
fn trains(block: &impl Module) -> bool {
    struct Search(bool);
    impl ModuleVisitor for Search {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0 |= param.is_require_grad();
        }
    }
    let mut search = Search(false);
    block.visit(&mut search);
    search.0
}

/// `sum(y g)`: its gradients are those that `g` is the gradient of `y` for.
fn along(y: Tensor<2>, g: Tensor<2>) -> Tensor<1> {
    (y * Tensor::from_inner(g)).sum()
}

/// Masks that come from the device's random stream (backends without a fused kernel) are the same when the stream is.
fn seed(dropout: Option<DropoutStream>, x: &Tensor<2>) {
    if let Some(stream) = dropout {
        x.device().seed(derive_seed(!stream.seed, stream.masks));
    }
}
