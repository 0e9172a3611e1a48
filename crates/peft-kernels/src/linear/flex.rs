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
use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorData, backend_extension};
use burn::tensor::Tensor;
use faer::MatRef;

pub(super) use pair::linear_with_pair;

use crate::compute::Compute;
use crate::flex::{contiguous, values};
use crate::fused::{fused, or_empty};
use crate::kept::Kept;
use crate::matrix::{column_sums, dense, made, matrix};
use crate::packed::flex::{BlockFactor, Operand};
use crate::packed::values::Values;
use crate::packed::{Factor, PackedWeight};
use crate::profile;

type Inputs = (Tensor<2>, Factor, Option<Tensor<1>>);

/// The fused operation, or the tensors back when the fused path does not apply to all of them.
pub(super) fn linear(
    x: Tensor<2>,
    weight: Factor,
    bias: Option<Tensor<1>>,
) -> Result<Tensor<2>, Inputs> {
    let device = x.device();
    let (x, (weight, packed), bias) = fused((x, weight, bias))?;
    let weight = or_empty::<2>(weight, &device);
    let y = Dispatch::fused_linear(x, weight, or_empty::<1>(bias, &device), packed);
    Ok(Tensor::from_dispatch(y))
}

#[backend_extension(Autodiff, Flex)]
pub(super) trait LinearOps: Backend {
    fn fused_linear(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        packed: Option<PackedWeight>,
    ) -> FloatTensor<Self>;
}

impl LinearOps for Flex {
    fn fused_linear(
        x: FlexTensor,
        weight: FlexTensor,
        bias: FlexTensor,
        packed: Option<PackedWeight>,
    ) -> FlexTensor {
        let (x, weight, bias) = (dense(x), Operand::new(weight, packed), contiguous(bias));
        forward(&x, &weight.factor(), values(&bias))
    }
}

/// `x W + bias`; an empty bias is none.
fn forward(x: &FlexTensor, weight: &BlockFactor<'_>, bias: &[f32]) -> FlexTensor {
    let first = weight.first_of(x);
    let x = first.values;
    let _call = note("linear", x, weight.ncols());
    let depth = weight.depth(x.nrows());
    made(x.nrows(), weight.ncols(), depth, |mut block| {
        block.multiply_by(&first, weight);
        if !bias.is_empty() {
            block.add_to_columns(bias);
        }
    })
}

/// Notes a product of `a` with a factor of so many columns.
fn note(name: &'static str, a: MatRef<'_, f32>, columns: usize) -> Option<profile::Call> {
    let [rows, inner] = [a.nrows(), a.ncols()];
    let values = rows * inner + inner * columns + rows * columns;
    profile::call(name, &[[rows, inner, columns]], values)
}

impl<C: CheckpointStrategy> LinearOps for Autodiff<Flex, C> {
    fn fused_linear(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        packed: Option<PackedWeight>,
    ) -> FloatTensor<Self> {
        let (x_tracked, weight_tracked) = (x.is_tracked(), weight.is_tracked());
        let (x, x_node) = x.into_parts();
        let (weight, weight_node) = weight.into_parts();
        let (bias, bias_node) = bias.into_parts();
        let step = LinearStep.prepare::<C>([x_node, weight_node, bias_node]);
        match step.compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let (x, bias) = (dense(x), contiguous(bias));
                let weight = Operand::new(weight, packed);
                let y = forward(&x, &weight.factor(), values(&bias));
                let saved = Saved {
                    compute: Compute::current(),
                    x: weight_tracked.then(|| Kept::new(x)),
                    weight: x_tracked.then_some(weight),
                };
                prep.finish(saved, y)
            }
            OpsKind::UnTracked(prep) => prep.finish(Flex::fused_linear(x, weight, bias, packed)),
        }
    }
}

/// What the gradients that are wanted need.
#[derive(Clone, Debug)]
struct Saved {
    compute: Compute,
    x: Option<Kept>,
    weight: Option<Operand>,
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
            let weight = weight.factor().transpose();
            let _call = note("linear backward, inputs", grad, weight.ncols());
            let d_x = weight.times(grad);
            grads.register::<Flex>(node.id, d_x);
        }
        if let (Some(node), Some(x)) = (weight_node, ops.state.x) {
            let x = x.tensor();
            let x = matrix(&x).transpose();
            let _call = note("linear backward, weights", x, grad.ncols());
            let grad = BlockFactor {
                values: Values::Dense(grad),
                compute: ops.state.compute,
            };
            let d_weight = grad.times(x);
            grads.register::<Flex>(node.id, d_weight);
        }
        if let Some(node) = bias_node {
            let sums = TensorData::new(column_sums(grad), [grad.ncols()]);
            grads.register::<Flex>(node.id, FlexTensor::from_data(sums));
        }
    }
}
