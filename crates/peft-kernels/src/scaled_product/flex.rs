//! Products with scaled inputs on flex.
//!
//! ```text
//! y = x (c W),   h = g W^T,   dx = h c,   dc = sum_rows h x
//! ```

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::FloatTensor;
use burn::backend::{
    Autodiff, Backend, Dispatch, Flex, TensorData, TensorMetadata, backend_extension,
};
use burn::tensor::{Slice, Tensor};

use crate::flex::{Rows, contiguous, transform, values};
use crate::fused::fused;
use crate::scale_columns::flex::{Columns, ROWS_PER_TASK, add_gradients, both_gradients};

/// Rows of the gradient in one product when it replaces the input: whole tasks, so that sums have the same order either way.
const ROWS_IN_PLACE: usize = 8 * ROWS_PER_TASK;

type Inputs = (Tensor<2>, Tensor<1>, Tensor<2>);

/// The fused operation, or the tensors back when the fused path does not apply to all of them.
pub(super) fn scaled_product(
    x: Tensor<2>,
    scales: Tensor<1>,
    weight: Tensor<2>,
) -> Result<Tensor<2>, Inputs> {
    if weight.is_require_grad() {
        return Err((x, scales, weight));
    }
    let (x, scales, weight) = fused((x, scales, weight))?;
    let y = Dispatch::fused_scaled_product(x, scales, weight);
    Ok(Tensor::from_dispatch(y))
}

#[backend_extension(Autodiff, Flex)]
pub(super) trait ScaledProductOps: Backend {
    fn fused_scaled_product(
        x: FloatTensor<Self>,
        scales: FloatTensor<Self>,
        weight: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
}

impl ScaledProductOps for Flex {
    fn fused_scaled_product(x: FlexTensor, scales: FlexTensor, weight: FlexTensor) -> FlexTensor {
        let scales = contiguous(scales);
        let (d_in, d_out) = (weight.shape()[0], weight.shape()[1]);
        if x.shape()[0] > d_out {
            let kernel = Rows {
                scales: values(&scales),
                width: d_out.max(1),
            };
            let weight = transform(weight, kernel.width, &kernel);
            return Flex::float_matmul(x, weight);
        }
        let zeros = vec![0.0; d_in];
        let kernel = Columns {
            scales: values(&scales),
            bias: &zeros,
        };
        Flex::float_matmul(transform(x, d_in.max(1), &kernel), weight)
    }
}

impl<C: CheckpointStrategy> ScaledProductOps for Autodiff<Flex, C> {
    fn fused_scaled_product(
        x: FloatTensor<Self>,
        scales: FloatTensor<Self>,
        weight: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let (x, x_node) = x.into_parts();
        let (scales, scales_node) = scales.into_parts();
        let (weight, _) = weight.into_parts();
        let step = ScaledProductStep.prepare::<C>([x_node, scales_node]);
        match step.compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let state = Saved {
                    x: contiguous(x),
                    scales: contiguous(scales),
                    weight,
                };
                let y = Flex::fused_scaled_product(
                    state.x.clone(),
                    state.scales.clone(),
                    state.weight.clone(),
                );
                prep.finish(state, y)
            }
            OpsKind::UnTracked(prep) => prep.finish(Flex::fused_scaled_product(x, scales, weight)),
        }
    }
}

/// What the backward needs: the inputs.
#[derive(Clone, Debug)]
struct Saved {
    x: FlexTensor,
    scales: FlexTensor,
    weight: FlexTensor,
}

#[derive(Debug)]
struct ScaledProductStep;

impl Backward<Flex, 2> for ScaledProductStep {
    type State = Saved;

    fn backward(self, ops: Ops<Saved, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let Saved {
            mut x,
            scales,
            weight,
        } = ops.state;
        let grad = grads.consume::<Flex>(&ops.node);
        let weight = Flex::float_transpose(weight);
        let (d_x, d_scales) = match in_place(&grad, &mut x, &scales, &weight) {
            Some(d_scales) => (x, d_scales),
            None => {
                let through = Flex::float_matmul(grad, weight);
                both_gradients(contiguous(through), &x, &scales, None)
            }
        };
        let [x_node, scales_node] = ops.parents;
        if let Some(node) = scales_node {
            let d_scales = TensorData::new(d_scales, scales.shape());
            grads.register::<Flex>(node.id, FlexTensor::from_data(d_scales));
        }
        if let Some(node) = x_node {
            grads.register::<Flex>(node.id, d_x);
        }
    }
}

/// The gradient of `x` written over `x`, a few rows after the other, and the gradient of the scales; nothing when somebody else
/// holds `x`.
///
/// The input of a wide layer is the largest tensor of a training step: this way its gradient needs no second one.
fn in_place(
    grad: &FlexTensor,
    x: &mut FlexTensor,
    scales: &FlexTensor,
    weight: &FlexTensor,
) -> Option<Vec<f32>> {
    let d_in = values(scales).len();
    let target = x.try_storage_mut::<f32>()?;
    let zeros = vec![0.0; d_in];
    let mut sums = zeros.clone();
    for (at, rows) in target.chunks_mut(ROWS_IN_PLACE * d_in.max(1)).enumerate() {
        let first = at * ROWS_IN_PLACE;
        let last = first + rows.len() / d_in.max(1);
        let grad = Flex::float_slice(grad.clone(), &[Slice::from(first..last)]);
        let mut through = contiguous(Flex::float_matmul(grad, weight.clone()));
        let values = through
            .try_storage_mut::<f32>()
            .expect("nobody else holds a product that was made here");
        add_gradients(values, rows, crate::flex::values(scales), &zeros, &mut sums);
        rows.copy_from_slice(values);
    }
    Some(sums)
}
