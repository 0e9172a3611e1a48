//! Gradient checkpointing: blocks whose insides are not kept for the backward pass but computed again there (Chen et al. 2016, "Training
//! Deep Nets with Sublinear Memory Cost", arXiv 1604.06174).
//!
//! A recording [`Pass`] runs each block without autodiff and keeps its input and output alone. [`Pass::backward`] then goes from the last
//! block to the first: it runs the block again, this time tracked, and sends the gradient of its output through it. Dropout draws the same
//! masks again. One more forward per step buys memory for one block in place of all.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Bool, Gradients, Tensor};
use peft_kernels::derive_seed;

use crate::pass::carried::Carried;
use crate::pass::{DropoutStream, Pass};
use crate::trainable::trains;

/// A block that ran without being tracked.
pub(crate) struct Segment {
    input: Input,
    /// What earlier layers had left, and their values as inputs.
    carried: Carried,
    received: Vec<Input>,
    /// The output, and what the block's layers left: leaves of the graph.
    outputs: Vec<Tensor<2>>,
    /// The state of the masks before the block.
    dropout: Option<DropoutStream>,
    padding: Option<Tensor<2, Bool>>,
    run: Box<Run>,
}

/// What goes into a block.
struct Input {
    /// What it came from, when that is no leaf of the graph, such as the output of another segment.
    origin: Option<Tensor<2>>,
    /// A leaf of the graph; or not part of it, where nothing below trains.
    value: Tensor<2>,
}

impl Input {
    fn of(x: Tensor<2>) -> Self {
        let is_leaf = x.is_require_grad() || !x.is_tracked();
        match is_leaf {
            true => Self {
                value: x,
                origin: None,
            },
            false => Self {
                value: x.clone().detach().require_grad(),
                origin: Some(x),
            },
        }
    }
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
        if !records || !(x.is_tracked() || any_trains(block)) {
            return run(block, x, given, self);
        }
        let dropout = self.dropout;
        seed(dropout, &x);
        let untracked = |x: &Tensor<2>| x.clone().without_autodiff();
        let inside = self.carried.with(self.carried.values().map(untracked));
        let outside = std::mem::replace(&mut self.carried, inside);
        let output = run(&block.valid(), untracked(&x), &given.valid(), self);
        let inside = std::mem::replace(&mut self.carried, outside);
        let leaf = |y: Tensor<2>| Tensor::from_inner(y).require_grad();
        let output = leaf(output);
        let left: Vec<Tensor<2>> = inside.left().into_iter().map(leaf).collect();
        let (block, given) = (block.clone(), given.clone());
        let received: Vec<Input> = self.carried.values().cloned().map(Input::of).collect();
        let values = received.iter().map(|input| input.value.clone());
        let segment = Segment {
            input: Input::of(x),
            carried: self.carried.with(values),
            received,
            outputs: [vec![output.clone()], left.clone()].concat(),
            dropout,
            padding: self.padding.clone(),
            run: Box::new(move |x, pass| run(&block, x, &given, pass)),
        };
        self.segments.get_or_insert_default().push(segment);
        self.carried.take(&inside, left);
        output
    }

    /// The backward pass of `share * (loss + losses of layers)`, for a loss that this pass computed: hands the gradients of every part to `each`, those of what comes after the
    /// last recorded block first. A parameter that several parts use appears in each.
    pub fn backward(&mut self, loss: Tensor<1>, share: f64, mut each: impl FnMut(Gradients)) {
        let segments = self.segments.as_mut().map(std::mem::take);
        let mut segments = segments.unwrap_or_default();
        // An output may be used by more than the next block: its gradient is the sum over all parts.
        let mut pending: Vec<Sums> = segments.iter().map(Segment::no_sums).collect();
        let mut take = |gradients: Gradients, segments: &[Segment], pending: &mut [Sums]| {
            for (segment, sums) in segments.iter().zip(pending) {
                for (output, sum) in segment.outputs.iter().zip(sums) {
                    if let Some(gradient) = output.grad(&gradients) {
                        *sum = Some(match sum.take() {
                            Some(sum) => sum + gradient,
                            None => gradient,
                        });
                    }
                }
            }
            each(gradients);
        };
        let loss = self.with_losses_of_layers(loss.mul_scalar(share), share);
        take(loss.backward(), &segments, &mut pending);
        while let Some(segment) = segments.pop() {
            let Some(sums) = pending
                .pop()
                .filter(|sums| sums.iter().any(Option::is_some))
            else {
                continue;
            };
            let of_layers = segment.backward(sums, share, |gradients| {
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
        self.count_losses(Some(own.clone().without_autodiff()));
        sum + own
    }

    fn count_losses(&mut self, value: Option<Tensor<1>>) {
        let both = self.loss_of_layers.take().into_iter().chain(value);
        self.loss_of_layers = both.reduce(|a, b| a + b);
    }
}

/// The gradients of a segment's outputs so far.
type Sums = Vec<Option<Tensor<2>>>;

impl Segment {
    fn no_sums(&self) -> Sums {
        self.outputs.iter().map(|_| None).collect()
    }

    /// Sends the gradients of the outputs through the block, computed again; returns what the losses of its layers came to.
    fn backward(
        self,
        sums: Sums,
        share: f64,
        mut each: impl FnMut(Gradients),
    ) -> Option<Tensor<1>> {
        seed(self.dropout, &self.input.value);
        let mut pass = Pass::replaying(self.dropout, self.padding, self.carried);
        let output = (self.run)(self.input.value.clone(), &mut pass);
        let outputs = [vec![output], pass.carried.left()].concat().into_iter();
        let along_sums = outputs.zip(sums).filter_map(|(y, g)| Some(along(y, g?)));
        let loss = along_sums.reduce(|a, b| a + b)?;
        let loss = pass.with_losses_of_layers(loss, share);
        let gradients = loss.backward();
        let inputs = [vec![self.input], self.received].into_iter().flatten();
        let below = inputs.filter_map(|input| {
            let gradient = input.value.grad(&gradients)?;
            Some(along(input.origin?, gradient))
        });
        let below: Vec<Tensor<1>> = below.collect();
        each(gradients);
        if let Some(below) = below.into_iter().reduce(|a, b| a + b) {
            each(below.backward());
        }
        pass.loss_of_layers
    }
}

/// Whether a block has parameters that train.
fn any_trains(block: &impl Module) -> bool {
    struct Search(bool);
    impl ModuleVisitor for Search {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0 = self.0 || trains(param);
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
