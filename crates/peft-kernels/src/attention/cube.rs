//! Attention in CubeCL: a cube holds some queries of a head, and sees the keys tile by tile; nothing of the size of the scores is kept.
//!
//! ```text
//! p_ij = e^(s_ij - m_i) / l_i,   dv_j = sum_i p_ij g_i,   ds_ij = p_ij (g_i v_j - g_i y_i)
//! dq_i = scale sum_j ds_ij k_j,   dk_j = scale sum_i ds_ij q_i
//! ```
//! The backward keeps the inputs, the output, and of each query the largest score `m` and `1 / l`; it computes the weights again, once by
//! queries and once by keys, so that no unit adds to what another one wrote and sums have one order.
//!
//! T. Dao, "FlashAttention-2: Faster Attention with Better Parallelism and Work Partitioning", 2023 (arXiv 2307.08691).

mod backward;
mod by_keys;
mod by_queries;
mod forward;
mod launch;
mod tiles;
mod visible;

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Autodiff, Backend, Cube, DType, Dispatch, backend_extension};
use burn::tensor::{Device, Tensor};
use burn_cubecl::CubeBackend;
use burn_cubecl::tensor::CubeTensor;
use burn_fusion::custom::TensorSpec;

use super::{Attention, AttentionMask};
use crate::cube::{burn, on_cube};
pub(super) use tiles::Masked;
use tiles::Tiling;

type Inputs = (Tensor<4>, Tensor<4>, Tensor<4>, Attention);

/// The fused operation, or the tensors back when the kernels do not apply to all of them.
pub(super) fn attention(
    query: Tensor<4>,
    key: Tensor<4>,
    value: Tensor<4>,
    how: Attention,
) -> Result<Tensor<4>, Inputs> {
    let masked = match how.mask {
        None => Masked::No,
        Some(AttentionMask::Bias(_)) => Masked::ByBias,
        Some(AttentionMask::Ranges(_)) => Masked::ByRanges,
    };
    let takes = takes(&how, masked, query.dims()[3], &query.device());
    if !takes || key.shape().num_elements() == 0 {
        return Err((query, key, value, how));
    }
    let like = query.clone();
    let (bias, ranges) = AttentionMask::split(how.mask);
    let ((query, key), (value, bias)) = match on_cube(&like, ((query, key), (value, bias))) {
        Ok(inputs) => inputs,
        Err(((query, key), (value, bias))) => {
            let mask = AttentionMask::of(bias, ranges);
            return Err((query, key, value, Attention { mask, ..how }));
        }
    };
    let how = How {
        scale: how.scale as f32,
        masked,
    };
    // Tensors in the place of no bias and no ranges; nothing reads them.
    let bias = bias.unwrap_or_else(|| query.clone());
    let seen = match ranges {
        Some(ranges) => ranges.on_device(),
        None => Tensor::empty([1, 1, 2], &like.device()),
    };
    let y = Dispatch::cube_attention(query, key, value, bias, seen.into_dispatch(), how);
    Ok(Tensor::from_dispatch(y))
}

/// Whether the kernels are for a device, heads of this width, and scores that become weights in this way.
pub(super) fn takes(how: &Attention, masked: Masked, d_head: usize, device: &Device) -> bool {
    let drops = how
        .dropout
        .is_some_and(|(probability, _)| probability > 0.0);
    let tiled = || {
        crate::cube::device(device).is_some_and(|device| {
            let memory = device.client().properties().hardware.max_shared_memory_size;
            Tiling::new(d_head, masked, memory).is_some()
        })
    };
    !drops && how.cap.is_none() && tiled()
}

/// How scores become weights.
#[derive(Debug, Clone, Copy)]
pub(super) struct How {
    scale: f32,
    /// What of the bias and the ranges is one, and no other tensor in its place.
    masked: Masked,
}

#[backend_extension(Autodiff, Cube)]
pub(super) trait AttentionOps: Backend {
    fn cube_attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        seen: IntTensor<Self>,
        how: How,
    ) -> FloatTensor<Self>;
}

#[backend_extension(Cube, Fusion)]
pub(super) trait AttentionKernels: Backend {
    /// The output, and of every query the largest score and one over the sum of exponentials.
    #[fusion(meta = |query, _key, _value, _bias, _seen, _how| (query.clone(), of_queries(query, 2)))]
    fn attention_forward(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        seen: IntTensor<Self>,
        how: How,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// The gradient of the queries, and the product of every output with its gradient.
    #[fusion(meta = |query, _key, _value, _bias, _seen, _y, _rows, _grad, _how| (query.clone(), of_queries(query, 1)))]
    #[allow(
        clippy::too_many_arguments,
        reason = "a queued operation lists its tensors one by one"
    )]
    fn attention_d_query(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        seen: IntTensor<Self>,
        y: FloatTensor<Self>,
        rows: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        how: How,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// The gradients of the keys and the values.
    #[fusion(meta = |_query, key, value, _bias, _seen, _products, _rows, _grad, _how| (key.clone(), value.clone()))]
    #[allow(
        clippy::too_many_arguments,
        reason = "a queued operation lists its tensors one by one"
    )]
    fn attention_d_key_value(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        seen: IntTensor<Self>,
        products: FloatTensor<Self>,
        rows: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        how: How,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}

/// So many numbers for each query of a head.
fn of_queries(query: &TensorSpec, count: usize) -> TensorSpec {
    let shape = &query.shape;
    TensorSpec::new([shape[0], shape[1], shape[2], count].into(), DType::F32)
}

impl AttentionOps for Cube {
    fn cube_attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        seen: IntTensor<Self>,
        how: How,
    ) -> FloatTensor<Self> {
        Self::attention_forward(query, key, value, bias, seen, how).0
    }
}

impl<B: AttentionKernels, C: CheckpointStrategy> AttentionOps for Autodiff<B, C> {
    fn cube_attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        seen: IntTensor<Self>,
        how: How,
    ) -> FloatTensor<Self> {
        let (query, query_node) = query.into_parts();
        let (key, key_node) = key.into_parts();
        let (value, value_node) = value.into_parts();
        let bias = bias.into_primitive();
        let inputs = [query, key, value, bias];
        let [query, key, value, bias] = inputs.clone();
        let (y, rows) = B::attention_forward(query, key, value, bias, seen.clone(), how);
        let step = AttentionStep.prepare::<C>([query_node, key_node, value_node]);
        match step.compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((inputs, seen, [y.clone(), rows], how), y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }
}

#[derive(Debug)]
struct AttentionStep;

impl<B: AttentionKernels> Backward<B, 3> for AttentionStep {
    /// The inputs; the output and what is kept of every query.
    type State = ([FloatTensor<B>; 4], IntTensor<B>, [FloatTensor<B>; 2], How);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (inputs, seen, [y, rows], how) = ops.state;
        let grad = grads.consume::<B>(&ops.node);
        let [query_node, key_node, value_node] = ops.parents;
        let [query, key, value, bias] = inputs.clone();
        let (d_query, products) = B::attention_d_query(
            query,
            key,
            value,
            bias,
            seen.clone(),
            y,
            rows.clone(),
            grad.clone(),
            how,
        );
        if let Some(node) = query_node {
            grads.register::<B>(node.id, d_query);
        }
        if key_node.is_none() && value_node.is_none() {
            return;
        }
        let [query, key, value, bias] = inputs;
        let (d_key, d_value) =
            B::attention_d_key_value(query, key, value, bias, seen, products, rows, grad, how);
        for (node, gradient) in [(key_node, d_key), (value_node, d_value)] {
            if let Some(node) = node {
                grads.register::<B>(node.id, gradient);
            }
        }
    }
}

impl AttentionKernels for CubeBackend {
    fn attention_forward(
        query: CubeTensor,
        key: CubeTensor,
        value: CubeTensor,
        bias: CubeTensor,
        seen: CubeTensor,
        how: How,
    ) -> (CubeTensor, CubeTensor) {
        launch::forward([query, key, value, bias], seen, how)
    }

    fn attention_d_query(
        query: CubeTensor,
        key: CubeTensor,
        value: CubeTensor,
        bias: CubeTensor,
        seen: CubeTensor,
        y: CubeTensor,
        rows: CubeTensor,
        grad: CubeTensor,
        how: How,
    ) -> (CubeTensor, CubeTensor) {
        launch::d_query([query, key, value, bias], seen, [y, rows, grad], how)
    }

    fn attention_d_key_value(
        query: CubeTensor,
        key: CubeTensor,
        value: CubeTensor,
        bias: CubeTensor,
        seen: CubeTensor,
        products: CubeTensor,
        rows: CubeTensor,
        grad: CubeTensor,
        how: How,
    ) -> (CubeTensor, CubeTensor) {
        launch::d_key_value([query, key, value, bias], seen, [products, rows, grad], how)
    }
}
