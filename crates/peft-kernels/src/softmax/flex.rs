//! Softmax fused on flex: a row is scaled, biased, exponentiated and normalised while it is in the cache.
//!
//! ```text
//! dx = scale y (g - sum_j g_j y_j)
//! ```

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, NodeGuard, Ops, OpsKind, unary};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::Tensor;
use pulp::Simd;

use crate::flex::{Kernel, contiguous, transform, values};
use crate::fused::fused;
use crate::math::{exp, max, mul_add, sum, sum_pairs};

/// `softmax(scale x)`, or the tensor back when it does not live where the fused path applies.
pub(super) fn softmax<const D: usize>(x: Tensor<D>, scale: f64) -> Result<Tensor<D>, Tensor<D>> {
    let x = fused(x)?;
    Ok(Tensor::from_dispatch(Dispatch::fused_softmax(
        x,
        scale as f32,
    )))
}

/// `softmax(scale scores + bias)`, or the tensors back when the fused path does not apply to both.
pub(super) fn biased_softmax(
    scores: Tensor<4>,
    bias: Tensor<4>,
    scale: f64,
) -> Result<Tensor<4>, (Tensor<4>, Tensor<4>)> {
    let (full, given) = (scores.dims(), bias.dims());
    let broadcasts = (0..3).all(|axis| given[axis] == full[axis] || given[axis] == 1);
    if !broadcasts || given[3] != full[3] {
        return Err((scores, bias));
    }
    let (scores, bias) = fused((scores, bias))?;
    let y = Dispatch::fused_biased_softmax(scores, bias, scale as f32);
    Ok(Tensor::from_dispatch(y))
}

#[backend_extension(Autodiff, Flex)]
pub(super) trait SoftmaxOps: Backend {
    fn fused_softmax(x: FloatTensor<Self>, scale: f32) -> FloatTensor<Self>;

    fn fused_biased_softmax(
        x: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        scale: f32,
    ) -> FloatTensor<Self>;
}

impl SoftmaxOps for Flex {
    fn fused_softmax(x: FlexTensor, scale: f32) -> FlexTensor {
        forward(x, scale, None)
    }

    fn fused_biased_softmax(x: FlexTensor, bias: FlexTensor, scale: f32) -> FlexTensor {
        let bias = contiguous(bias);
        let sizes = [x.shape()[1], x.shape()[2]];
        forward(x, scale, Some(BiasRows::new(&bias, sizes)))
    }
}

impl<C: CheckpointStrategy> SoftmaxOps for Autodiff<Flex, C> {
    fn fused_softmax(x: FloatTensor<Self>, scale: f32) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        record::<C>(node, Flex::fused_softmax(x, scale), scale)
    }

    fn fused_biased_softmax(
        x: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        scale: f32,
    ) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        let y = Flex::fused_biased_softmax(x, bias.into_primitive(), scale);
        record::<C>(node, y, scale)
    }
}

/// Attaches the backward step to an output.
fn record<C: CheckpointStrategy>(
    node: NodeGuard,
    y: FlexTensor,
    scale: f32,
) -> FloatTensor<Autodiff<Flex, C>> {
    match SoftmaxStep(scale)
        .prepare::<C>([node])
        .compute_bound()
        .stateful()
    {
        OpsKind::Tracked(prep) => prep.finish(y.clone(), y),
        OpsKind::UnTracked(prep) => prep.finish(y),
    }
}

#[derive(Debug)]
struct SoftmaxStep(f32);

impl Backward<Flex, 1> for SoftmaxStep {
    type State = FlexTensor;

    fn backward(self, ops: Ops<FlexTensor, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let y = ops.state;
        let row = last_dim(&y);
        unary::<Flex, _>(ops.parents, ops.node, grads, |grad| {
            let kernel = Derivative {
                row,
                scale: self.0,
                outputs: values(&y),
            };
            transform(grad, row, &kernel)
        });
    }
}

/// `softmax(x)` of every row, in place when nobody else holds `x`.
pub(crate) fn probabilities(x: FlexTensor) -> FlexTensor {
    forward(x, 1.0, None)
}

fn forward(x: FlexTensor, scale: f32, bias: Option<BiasRows<'_>>) -> FlexTensor {
    let row = last_dim(&x);
    transform(x, row, &Forward { row, scale, bias })
}

/// The row length, at least 1.
fn last_dim(x: &FlexTensor) -> usize {
    let shape = x.shape();
    shape[shape.num_dims() - 1].max(1)
}

/// The rows of a bias that may be shared between sequences, heads or queries.
pub(crate) struct BiasRows<'a> {
    values: &'a [f32],
    heads: usize,
    queries: usize,
    /// Bias rows from one sequence, head, query to the next; 0 where it is shared.
    steps: [usize; 3],
}

impl<'a> BiasRows<'a> {
    /// The rows of a bias of rank 4, in row-major order, for scores of so many heads and queries.
    pub(crate) fn new(bias: &'a FlexTensor, [heads, queries]: [usize; 2]) -> Self {
        let given = bias.shape();
        let step = |axis: usize, stride: usize| if given[axis] == 1 { 0 } else { stride };
        Self {
            values: values(bias),
            heads,
            queries,
            steps: [step(0, given[1] * given[2]), step(1, given[2]), step(2, 1)],
        }
    }

    /// Whether all queries of a head share one row.
    pub(crate) fn is_one_for_all_queries(&self) -> bool {
        self.steps[2] == 0
    }

    /// Which row of the bias is that of row `index` of the scores.
    #[inline(always)]
    pub(crate) fn place(&self, index: usize) -> usize {
        let query = index % self.queries;
        let head = index / self.queries % self.heads;
        let batch = index / (self.queries * self.heads);
        batch * self.steps[0] + head * self.steps[1] + query * self.steps[2]
    }

    /// The bias of row `index` of the scores.
    #[inline(always)]
    pub(crate) fn get(&self, index: usize, row: usize) -> &[f32] {
        let at = self.place(index);
        &self.values[at * row..(at + 1) * row]
    }
}

struct Forward<'a> {
    row: usize,
    scale: f32,
    bias: Option<BiasRows<'a>>,
}

impl Kernel for Forward<'_> {
    const NAME: &'static str = "softmax";

    #[inline(always)]
    fn run<S: Simd>(&self, start: usize, chunk: &mut [f32]) {
        let first = start / self.row;
        for (i, row) in chunk.chunks_exact_mut(self.row).enumerate() {
            if let Some(bias) = &self.bias {
                for (x, b) in row.iter_mut().zip(bias.get(first + i, self.row)) {
                    *x = mul_add::<S>(*x, self.scale, *b);
                }
            } else if self.scale != 1.0 {
                row.iter_mut().for_each(|x| *x *= self.scale);
            }
            let largest = max(row);
            row.iter_mut().for_each(|x| *x = exp::<S>(*x - largest));
            let share = 1.0 / sum(row, |e| e);
            row.iter_mut().for_each(|x| *x *= share);
        }
    }
}

struct Derivative<'a> {
    row: usize,
    scale: f32,
    outputs: &'a [f32],
}

impl Kernel for Derivative<'_> {
    const NAME: &'static str = "softmax backward";
    const STREAMS: usize = 3;

    #[inline(always)]
    fn run<S: Simd>(&self, start: usize, chunk: &mut [f32]) {
        let outputs = &self.outputs[start..start + chunk.len()];
        let rows = chunk.chunks_exact_mut(self.row);
        for (grad, y) in rows.zip(outputs.chunks_exact(self.row)) {
            let mean = sum_pairs(grad, y, |g, y| g * y);
            for (g, y) in grad.iter_mut().zip(y) {
                *g = self.scale * y * (*g - mean);
            }
        }
    }
}
