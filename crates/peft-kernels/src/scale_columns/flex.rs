//! Columns scaled and shifted on flex.
//!
//! ```text
//! dx = g s,   ds = sum_rows g x,   x = (y - b) / s where only y is kept
//! ```

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorData, backend_extension};
use burn::tensor::{Bytes, Tensor};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::flex::{Kernel, contiguous, transform, values};
use crate::fused::fused;
use crate::kept::Kept;
use crate::math::mul_add;
use crate::profile;
use crate::scale_columns::Keep;

/// Rows whose gradients one task adds up: fixed, so that the order of the sum is.
pub(crate) const ROWS_PER_TASK: usize = 64;
/// Below it, dividing the output by a factor would lose too many digits of the input.
const SMALLEST_FACTOR: f32 = 1.0 / 16.0;

type Inputs = (Tensor<2>, Tensor<1>, Option<Tensor<1>>);

/// The fused operation, or the tensors back when the fused path does not apply to all of them.
pub(super) fn scale_columns(
    x: Tensor<2>,
    scales: Tensor<1>,
    bias: Option<Tensor<1>>,
    keep: Keep,
) -> Result<Tensor<2>, Inputs> {
    let (columns, device) = (scales.dims(), scales.device());
    let (x, scales, bias) = fused((x, scales, bias))?;
    let addend = bias.unwrap_or_else(|| Tensor::<1>::zeros(columns, &device).into_dispatch());
    let y = Dispatch::fused_scale_columns(x, scales, addend, keep);
    Ok(Tensor::from_dispatch(y))
}

#[backend_extension(Autodiff, Flex)]
pub(super) trait ScaleColumnsOps: Backend {
    fn fused_scale_columns(
        x: FloatTensor<Self>,
        scales: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        keep: Keep,
    ) -> FloatTensor<Self>;
}

impl ScaleColumnsOps for Flex {
    fn fused_scale_columns(
        x: FlexTensor,
        scales: FlexTensor,
        bias: FlexTensor,
        _: Keep,
    ) -> FlexTensor {
        let (scales, bias) = (contiguous(scales), contiguous(bias));
        let kernel = Columns {
            scales: values(&scales),
            bias: values(&bias),
        };
        transform(x, kernel.scales.len().max(1), &kernel)
    }
}

impl<C: CheckpointStrategy> ScaleColumnsOps for Autodiff<Flex, C> {
    fn fused_scale_columns(
        x: FloatTensor<Self>,
        scales: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        keep: Keep,
    ) -> FloatTensor<Self> {
        let (x, x_node) = x.into_parts();
        let (scales, scales_node) = scales.into_parts();
        let (bias, _) = bias.into_parts();
        let step = ScaleColumnsStep.prepare::<C>([x_node, scales_node]);
        match step.compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let (scales, bias) = (contiguous(scales), contiguous(bias));
                let mut factors = values(&scales).iter();
                let is_output =
                    keep == Keep::Output && factors.all(|factor| factor.abs() >= SMALLEST_FACTOR);
                let input = (!is_output).then(|| contiguous(x.clone()));
                let y = Flex::fused_scale_columns(x, scales.clone(), bias.clone(), keep);
                let state = Saved {
                    rows: Kept::new(input.unwrap_or_else(|| y.clone())),
                    is_output,
                    scales,
                    bias,
                };
                prep.finish(state, y)
            }
            OpsKind::UnTracked(prep) => {
                prep.finish(Flex::fused_scale_columns(x, scales, bias, keep))
            }
        }
    }
}

/// What the backward needs.
#[derive(Clone, Debug)]
struct Saved {
    /// The output, or the input.
    rows: Kept,
    is_output: bool,
    scales: FlexTensor,
    bias: FlexTensor,
}

#[derive(Debug)]
struct ScaleColumnsStep;

impl Backward<Flex, 2> for ScaleColumnsStep {
    type State = Saved;

    fn backward(self, ops: Ops<Saved, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let saved = &ops.state;
        let grad = contiguous(grads.consume::<Flex>(&ops.node));
        let [x_node, scales_node] = ops.parents;
        let d = values(&saved.scales).len();
        let Some(scales_node) = scales_node else {
            if let Some(node) = x_node {
                let kernel = Columns {
                    scales: values(&saved.scales),
                    bias: &vec![0.0; d],
                };
                grads.register::<Flex>(node.id, transform(grad, d.max(1), &kernel));
            }
            return;
        };
        let offset = saved.is_output.then_some(&saved.bias);
        let rows = saved.rows.tensor();
        let (d_x, d_scales) = both_gradients(grad, &rows, &saved.scales, offset);
        let d_scales = FlexTensor::from_data(TensorData::new(d_scales, [d]));
        grads.register::<Flex>(scales_node.id, d_scales);
        if let Some(node) = x_node {
            grads.register::<Flex>(node.id, d_x);
        }
    }
}

/// Multiplies every column by its factor and adds its bias.
pub(crate) struct Columns<'a> {
    pub(crate) scales: &'a [f32],
    pub(crate) bias: &'a [f32],
}

impl Kernel for Columns<'_> {
    const NAME: &'static str = "scale columns";

    #[inline(always)]
    fn run<S: Simd>(&self, _start: usize, chunk: &mut [f32]) {
        for row in chunk.chunks_exact_mut(self.scales.len()) {
            for ((x, scale), bias) in row.iter_mut().zip(self.scales).zip(self.bias) {
                *x = mul_add::<S>(*x, *scale, *bias);
            }
        }
    }
}

/// `(dx, ds)` for rows of `x`, or of the output `x s + offset`: the gradient of the output turned into that of the input, in place
/// when nobody else holds it, and the sums over rows added up over blocks in their order.
pub(crate) fn both_gradients(
    mut grad: FlexTensor,
    rows: &FlexTensor,
    scales: &FlexTensor,
    offset: Option<&FlexTensor>,
) -> (FlexTensor, Vec<f32>) {
    let (rows, scales) = (values(rows), values(scales));
    let _call = profile::call("scale columns backward", &[], 3 * rows.len());
    let zeros = vec![0.0; scales.len()];
    let start = offset.map_or(zeros.as_slice(), values);
    let mut sums = zeros.clone();
    let d_x = match grad.try_storage_mut::<f32>() {
        Some(target) => {
            add_gradients(target, rows, scales, start, &mut sums);
            None
        }
        None => {
            let mut copy = values(&grad).to_vec();
            add_gradients(&mut copy, rows, scales, start, &mut sums);
            let bytes = Bytes::from_elems(copy);
            Some(FlexTensor::new(bytes, grad.layout().clone(), grad.dtype()))
        }
    };
    if offset.is_some() {
        sums.iter_mut()
            .zip(scales)
            .for_each(|(sum, scale)| *sum /= scale);
    }
    (d_x.unwrap_or(grad), sums)
}

/// Turns the gradient of the output into that of the input, and adds that of the scales to `sums`, a fixed number of rows after the
/// other.
pub(crate) fn add_gradients(
    grad: &mut [f32],
    rows: &[f32],
    scales: &[f32],
    offset: &[f32],
    sums: &mut [f32],
) {
    let size = ROWS_PER_TASK * scales.len().max(1);
    let parts: Vec<Vec<f32>> = grad
        .par_chunks_mut(size)
        .zip(rows.par_chunks(size))
        .map(|(grad, rows)| {
            Arch::new().dispatch(Block {
                grad,
                rows,
                scales,
                offset,
            })
        })
        .collect();
    for part in parts {
        sums.iter_mut()
            .zip(part)
            .for_each(|(sum, value)| *sum += value);
    }
}

/// A few rows of the backward.
struct Block<'a> {
    grad: &'a mut [f32],
    rows: &'a [f32],
    scales: &'a [f32],
    offset: &'a [f32],
}

impl WithSimd for Block<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) -> Vec<f32> {
        let d = self.scales.len();
        let mut sums = vec![0.0_f32; d];
        let rows = self.rows.chunks_exact(d.max(1));
        for (grad, row) in self.grad.chunks_exact_mut(d.max(1)).zip(rows) {
            let columns = self.scales.iter().zip(self.offset).zip(&mut sums);
            for ((g, value), ((scale, offset), sum)) in grad.iter_mut().zip(row).zip(columns) {
                *sum = mul_add::<S>(*g, value - offset, *sum);
                *g *= scale;
            }
        }
        sums
    }
}
