//! Products with a weight on flex.
//!
//! ```text
//! dx = g W^T,   dW = x^T g,   dbias = sum_rows g
//! ```

mod pair;

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{
    Autodiff, Backend, Dispatch, DispatchTensor, Flex, TensorData, backend_extension,
};
use burn::tensor::{Device, Tensor};
use faer::{Accum, MatRef};

pub(super) use pair::linear_with_pair;

use crate::flex::{contiguous, values};
use crate::fused::fused;
use crate::matrix::{column_sums, dense, made, matrix, product};
use crate::profile;

type Inputs = (Tensor<2>, Tensor<2>, Option<Tensor<1>>);

/// The fused operation, or the tensors back when the fused path does not apply to all of them.
pub(super) fn linear(
    x: Tensor<2>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
) -> Result<Tensor<2>, Inputs> {
    let device = x.device();
    let (x, weight, bias) = fused((x, weight, bias))?;
    let y = Dispatch::fused_linear(x, weight, or_empty(bias, &device));
    Ok(Tensor::from_dispatch(y))
}

/// The bias of a layer, an absent one as an empty tensor.
fn or_empty(bias: Option<DispatchTensor>, device: &Device) -> DispatchTensor {
    bias.unwrap_or_else(|| Tensor::<1>::empty([0], device).into_dispatch())
}

#[backend_extension(Autodiff, Flex)]
pub(super) trait LinearOps: Backend {
    fn fused_linear(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
}

impl LinearOps for Flex {
    fn fused_linear(x: FlexTensor, weight: FlexTensor, bias: FlexTensor) -> FlexTensor {
        let (x, weight, bias) = (dense(x), dense(weight), contiguous(bias));
        forward(matrix(&x), matrix(&weight), values(&bias))
    }
}

/// `x W + bias`; an empty bias is none.
fn forward(x: MatRef<'_, f32>, weight: MatRef<'_, f32>, bias: &[f32]) -> FlexTensor {
    let _call = note("linear", x, weight);
    made(x.nrows(), weight.ncols(), x.ncols(), |mut block| {
        block.multiply(Accum::Replace, x, weight, 1.0);
        if !bias.is_empty() {
            block.add_to_columns(bias);
        }
    })
}

/// Notes a product.
fn note(name: &'static str, a: MatRef<'_, f32>, b: MatRef<'_, f32>) -> Option<profile::Call> {
    let [rows, inner, columns] = [a.nrows(), a.ncols(), b.ncols()];
    let values = rows * inner + inner * columns + rows * columns;
    profile::call(name, &[[rows, inner, columns]], values)
}

impl<C: CheckpointStrategy> LinearOps for Autodiff<Flex, C> {
    fn fused_linear(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let (x_tracked, weight_tracked) = (x.is_tracked(), weight.is_tracked());
        let (x, x_node) = x.into_parts();
        let (weight, weight_node) = weight.into_parts();
        let (bias, bias_node) = bias.into_parts();
        let step = LinearStep.prepare::<C>([x_node, weight_node, bias_node]);
        match step.compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let (x, weight) = (dense(x), dense(weight));
                let y = Flex::fused_linear(x.clone(), weight.clone(), bias);
                let saved = Saved {
                    x: weight_tracked.then_some(x),
                    weight: x_tracked.then_some(weight),
                };
                prep.finish(saved, y)
            }
            OpsKind::UnTracked(prep) => prep.finish(Flex::fused_linear(x, weight, bias)),
        }
    }
}

/// What the gradients that are wanted need.
#[derive(Clone, Debug)]
struct Saved {
    x: Option<FlexTensor>,
    weight: Option<FlexTensor>,
}

#[derive(Debug)]
struct LinearStep;

impl Backward<Flex, 3> for LinearStep {
    type State = Saved;

    fn backward(self, ops: Ops<Saved, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = dense(grads.consume::<Flex>(&ops.node));
        let grad = matrix(&grad);
        let [x_node, weight_node, bias_node] = ops.parents;
        if let (Some(node), Some(weight)) = (x_node, ops.state.weight) {
            let weight = matrix(&weight).transpose();
            let _call = note("linear backward, inputs", grad, weight);
            let d_x = product(grad, weight);
            grads.register::<Flex>(node.id, d_x);
        }
        if let (Some(node), Some(x)) = (weight_node, ops.state.x) {
            let x = matrix(&x).transpose();
            let _call = note("linear backward, weights", x, grad);
            let d_weight = product(x, grad);
            grads.register::<Flex>(node.id, d_weight);
        }
        if let Some(node) = bias_node {
            let sums = TensorData::new(column_sums(grad), [grad.ncols()]);
            grads.register::<Flex>(node.id, FlexTensor::from_data(sums));
        }
    }
}
