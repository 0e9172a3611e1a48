//! Attention on flex: a task is the keys of one head and one text, with all queries that they serve.

mod heads;
mod part;
mod rows;
mod seen;
mod shape;
mod tile;

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::{Device, Tensor};

use super::mask::HostRanges;
use super::{Attention, AttentionMask};
use crate::compute::Compute;
use crate::dropout::flex::Mask;
use crate::flex::{contiguous, is_flex};
use crate::fused::fused;
use crate::kept::Kept;
use crate::profile;
use heads::with_unit_rows;
use shape::Shape;
use tile::Weights;

type Inputs = (Tensor<4>, Tensor<4>, Tensor<4>, Attention);

/// The fused operation, or the tensors back when the fused path does not apply to all of them.
pub(super) fn attention(
    query: Tensor<4>,
    key: Tensor<4>,
    value: Tensor<4>,
    how: Attention,
) -> Result<Tensor<4>, Inputs> {
    let device = query.device();
    if !takes(&how, &device) {
        return Err((query, key, value, how));
    }
    let (bias, ranges) = AttentionMask::split(how.mask);
    let ((query, key), (value, bias)) = match fused(((query, key), (value, bias))) {
        Ok(inputs) => inputs,
        Err(((query, key), (value, bias))) => {
            let mask = AttentionMask::of(bias, ranges);
            return Err((query, key, value, Attention { mask, ..how }));
        }
    };
    let how = How {
        scale: how.scale as f32,
        cap: how.cap.map(|cap| cap as f32),
        has_bias: bias.is_some(),
        ranges: ranges.map(|ranges| ranges.on_host()),
        dropout: how
            .dropout
            .filter(|(probability, _)| *probability > 0.0)
            .map(|(probability, seed)| Mask::new(probability, seed)),
        compute: Compute::current(),
    };
    let bias = bias.unwrap_or_else(|| Tensor::<4>::empty([1, 1, 1, 0], &device).into_dispatch());
    let y = Dispatch::fused_attention(query, key, value, bias, how);
    Ok(Tensor::from_dispatch(y))
}

/// Whether the kernel is for a device, and for scores that become weights in this way.
pub(super) fn takes(how: &Attention, device: &Device) -> bool {
    let drops_all = how
        .dropout
        .is_some_and(|(probability, _)| probability >= 1.0);
    is_flex(device) && !drops_all
}

/// How scores become weights.
#[derive(Debug, Clone)]
pub(super) struct How {
    scale: f32,
    /// Bound of the scores.
    cap: Option<f32>,
    /// Whether the bias is one, or an empty tensor in its place.
    has_bias: bool,
    /// The keys that each query sees, where it is not all.
    ranges: Option<HostRanges>,
    dropout: Option<Mask>,
    compute: Compute,
}

#[backend_extension(Autodiff, Flex)]
pub(super) trait AttentionOps: Backend {
    fn fused_attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        how: How,
    ) -> FloatTensor<Self>;
}

impl AttentionOps for Flex {
    fn fused_attention(
        query: FlexTensor,
        key: FlexTensor,
        value: FlexTensor,
        bias: FlexTensor,
        how: How,
    ) -> FlexTensor {
        Inner::new(query, key, value, bias, how).forward().0
    }
}

impl<C: CheckpointStrategy> AttentionOps for Autodiff<Flex, C> {
    fn fused_attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        how: How,
    ) -> FloatTensor<Self> {
        let (query, query_node) = query.into_parts();
        let (key, key_node) = key.into_parts();
        let (value, value_node) = value.into_parts();
        let inner = Inner::new(query, key, value, bias.into_primitive(), how);
        let (y, rows) = inner.forward();
        let step = AttentionStep.prepare::<C>([query_node, key_node, value_node]);
        match step.compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(Saved::new(inner, rows), y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }
}

/// The inputs, in layouts that the products can read.
#[derive(Clone, Debug)]
struct Inner {
    query: FlexTensor,
    key: FlexTensor,
    value: FlexTensor,
    bias: FlexTensor,
    how: How,
}

impl Inner {
    fn new(
        query: FlexTensor,
        key: FlexTensor,
        value: FlexTensor,
        bias: FlexTensor,
        how: How,
    ) -> Self {
        Self {
            query: with_unit_rows(query),
            key: with_unit_rows(key),
            value: with_unit_rows(value),
            bias: contiguous(bias),
            how,
        }
    }

    fn shape(&self) -> Shape {
        let (query, key) = (self.query.shape(), self.key.shape());
        Shape {
            batch: query[0],
            heads: query[1],
            kv_heads: key[1],
            queries: query[2],
            keys: key[2],
            d: query[3],
        }
    }

    /// Notes a pass with so many products of the size of the scores.
    fn note(
        &self,
        weights: &Weights<'_>,
        name: &'static str,
        products: usize,
    ) -> Option<profile::Call> {
        let shape = self.shape();
        let heads = shape.batch * shape.heads;
        let product = [shape.heads * weights.scores(), shape.d, 1];
        let values = heads * shape.d * (2 * shape.queries + 2 * shape.keys) * products / 2;
        profile::call(name, &vec![product; products], values)
    }

    fn weights(&self) -> Weights<'_> {
        Weights::new(self.shape(), &self.how, &self.bias)
    }

    /// The output, and of every row of scores the largest and one over the sum of exponentials.
    fn forward(&self) -> (FlexTensor, Vec<[f32; 2]>) {
        let weights = self.weights();
        let _call = self.note(&weights, "attention", 2);
        heads::forward(&weights, &self.query, &self.key, &self.value)
    }
}

/// What the backward needs.
#[derive(Clone, Debug)]
struct Saved {
    inputs: [Kept; 3],
    bias: FlexTensor,
    how: How,
    rows: Vec<[f32; 2]>,
}

impl Saved {
    fn new(inner: Inner, rows: Vec<[f32; 2]>) -> Self {
        let Inner {
            query,
            key,
            value,
            bias,
            how,
        } = inner;
        Self {
            inputs: [query, key, value].map(Kept::new),
            bias,
            how,
            rows,
        }
    }
}

#[derive(Debug)]
struct AttentionStep;

impl Backward<Flex, 3> for AttentionStep {
    type State = Saved;

    fn backward(self, ops: Ops<Saved, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let Saved {
            inputs,
            bias,
            how,
            rows,
        } = ops.state;
        let [query, key, value] = inputs.map(|kept| kept.tensor());
        let inner = Inner::new(query, key, value, bias, how);
        let grad = with_unit_rows(grads.consume::<Flex>(&ops.node));
        let Inner {
            query, key, value, ..
        } = &inner;
        let weights = inner.weights();
        let _call = inner.note(&weights, "attention backward", 5);
        let found = heads::backward(&weights, [query, key, value, &grad], &rows);
        for (node, grad) in ops.parents.into_iter().zip(found) {
            if let Some(node) = node {
                grads.register::<Flex>(node.id, grad);
            }
        }
    }
}
