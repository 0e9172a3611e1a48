//! A layer with a low-rank pair on flex.
//!
//! ```text
//! h = z A,   y = x W + bias + s h B
//! t = s g B^T,   dx = g W^T,   dz = t A^T,   dA = z^T t,   dB = s h^T g
//! ```

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;
use faer::MatRef;

use crate::bf16::{FEWEST, First, product_with_rounded};
use crate::compute::Compute;
use crate::flex::{contiguous, values};
use crate::fused::{fused, or_empty};
use crate::kept::Kept;
use crate::linear::LowRankPair;
use crate::matrix::{dense, made, matrix, product, scaled_product};
use crate::packed::flex::{Beside, BlockFactor, Operand};
use crate::packed::{Factor, PackedWeight};
use crate::profile;

type Inputs = (Tensor<2>, Factor, Option<Tensor<1>>, LowRankPair);

/// The fused operation, or the tensors back when the fused path does not apply to all of them.
pub(in crate::linear) fn linear_with_pair(
    x: Tensor<2>,
    weight: Factor,
    bias: Option<Tensor<1>>,
    pair: LowRankPair,
) -> Result<Tensor<2>, Inputs> {
    let trains = weight.trains() || bias.as_ref().is_some_and(Tensor::is_require_grad);
    if trains {
        return Err((x, weight, bias, pair));
    }
    let how = Pair {
        scale: pair.scale as f32,
        own: pair.input.is_some(),
    };
    let (device, scale) = (x.device(), pair.scale);
    match fused(((x, weight, bias), (pair.a, pair.b, pair.input))) {
        Ok(((x, (weight, packed), bias), (a, b, input))) => {
            let input = input.unwrap_or_else(|| x.clone());
            let weight = or_empty::<2>(weight, &device);
            let bias = or_empty::<1>(bias, &device);
            let how = (how, packed);
            let y = Dispatch::fused_linear_with_pair(x, input, weight, bias, a, b, how);
            Ok(Tensor::from_dispatch(y))
        }
        Err(((x, weight, bias), (a, b, input))) => {
            let pair = LowRankPair { a, b, scale, input };
            Err((x, weight, bias, pair))
        }
    }
}

/// How a pair takes part.
#[derive(Debug, Clone, Copy)]
pub(in crate::linear) struct Pair {
    scale: f32,
    /// Whether the pair has an input of its own.
    own: bool,
}

#[backend_extension(Autodiff, Flex)]
pub(in crate::linear) trait PairOps: Backend {
    fn fused_linear_with_pair(
        x: FloatTensor<Self>,
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        how: (Pair, Option<PackedWeight>),
    ) -> FloatTensor<Self>;
}

impl PairOps for Flex {
    fn fused_linear_with_pair(
        x: FlexTensor,
        input: FlexTensor,
        weight: FlexTensor,
        bias: FlexTensor,
        a: FlexTensor,
        b: FlexTensor,
        (pair, packed): (Pair, Option<PackedWeight>),
    ) -> FlexTensor {
        let [x, input, a, b] = [x, input, a, b].map(dense);
        let weight = Operand::new(weight, packed);
        forward([&x, &input], &weight, bias, [&a, &b], pair).0
    }
}

/// `x W + bias + s h B`, and `h`; an empty bias is none.
fn forward(
    [x, input]: [&FlexTensor; 2],
    weight: &Operand,
    bias: FlexTensor,
    [a, b]: [&FlexTensor; 2],
    pair: Pair,
) -> (FlexTensor, FlexTensor) {
    let bias = contiguous(bias);
    let weight = weight.factor();
    let first = weight.first_of(x);
    // An input of its own is multiplied here alone, which does not pay for rounding it.
    let hidden = match pair.own {
        true => product(matrix(input), matrix(a)),
        false => first.narrow_product(matrix(a), 1.0),
    };
    let [x, h, b] = [x, &hidden, b].map(matrix);
    let _call = note("linear with pair", x, h, b);
    let depth = weight.depth(x.nrows());
    let beside = Beside::new(&first, h, b, pair.scale);
    let y = made(x.nrows(), weight.ncols(), depth, |mut block| {
        block.multiply_by_both(&first, &weight, &beside);
        if !values(&bias).is_empty() {
            block.add_to_columns(values(&bias));
        }
    });
    (y, hidden)
}

/// Notes a product of `a` with a weight, and the narrow one of `c` and `d` that is added to it.
fn note(
    name: &'static str,
    a: MatRef<'_, f32>,
    c: MatRef<'_, f32>,
    d: MatRef<'_, f32>,
) -> Option<profile::Call> {
    let [rows, inner, columns] = [a.nrows(), a.ncols(), d.ncols()];
    let products = [[rows, inner, columns], [rows, c.ncols(), columns]];
    let read = [a, c, d].map(|x| x.nrows() * x.ncols());
    let values = read.iter().sum::<usize>() + inner * columns + rows * columns;
    profile::call(name, &products, values)
}

impl<C: CheckpointStrategy> PairOps for Autodiff<Flex, C> {
    fn fused_linear_with_pair(
        x: FloatTensor<Self>,
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        (pair, packed): (Pair, Option<PackedWeight>),
    ) -> FloatTensor<Self> {
        let tracked = [&x, &input, &a, &b].map(|tensor| tensor.is_tracked());
        let (x, x_node) = x.into_parts();
        let (input, input_node) = input.into_parts();
        let (a, a_node) = a.into_parts();
        let (b, b_node) = b.into_parts();
        let (weight, bias) = (weight.into_primitive(), bias.into_primitive());
        let step = PairStep(pair).prepare::<C>([x_node, input_node, a_node, b_node]);
        match step.compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let [x, input, a, b] = [x, input, a, b].map(dense);
                let weight = Operand::new(weight, packed);
                let (y, hidden) = forward([&x, &input], &weight, bias, [&a, &b], pair);
                let [x_tracked, input_tracked, a_tracked, b_tracked] = tracked;
                let saved = Saved {
                    compute: Compute::current(),
                    weight: x_tracked.then_some(weight),
                    input: a_tracked.then(|| Kept::new(input)),
                    a: input_tracked.then_some(a),
                    hidden: b_tracked.then_some(hidden),
                    b: (input_tracked || a_tracked).then_some(b),
                };
                prep.finish(saved, y)
            }
            OpsKind::UnTracked(prep) => prep.finish(Flex::fused_linear_with_pair(
                x,
                input,
                weight,
                bias,
                a,
                b,
                (pair, packed),
            )),
        }
    }
}

/// What the gradients that are wanted need.
#[derive(Clone, Debug)]
struct Saved {
    compute: Compute,
    weight: Option<Operand>,
    input: Option<Kept>,
    a: Option<FlexTensor>,
    hidden: Option<FlexTensor>,
    b: Option<FlexTensor>,
}

#[derive(Debug)]
struct PairStep(Pair);

impl Backward<Flex, 4> for PairStep {
    type State = Saved;

    fn backward(self, ops: Ops<Saved, 4>, grads: &mut Gradients, _: &mut Checkpointer) {
        let Pair { scale, own } = self.0;
        let grad = dense(grads.consume::<Flex>(&ops.node));
        let grad = matrix(&grad);
        let saved = ops.state;
        let [x_node, input_node, a_node, b_node] = ops.parents;
        let weight = saved.weight.as_ref().map(|w| w.factor().transpose());
        let columns = weight.as_ref().map_or(FEWEST, BlockFactor::ncols);
        let first = First::new(grad, saved.compute, columns);
        let through = saved
            .b
            .map(|b| first.narrow_product(matrix(&b).transpose(), scale));
        if let (Some(node), Some(weight)) = (x_node, weight) {
            let shared = match own {
                true => None,
                false => through.as_ref().zip(saved.a.as_ref()),
            };
            let pair = shared.map(|(through, a)| [matrix(through), matrix(a).transpose()]);
            let _call = match pair {
                Some([c, d]) => note("linear with pair backward, inputs", grad, c, d),
                None => super::note("linear backward, inputs", grad, weight.ncols()),
            };
            let depth = weight.depth(grad.nrows());
            let beside = pair.map(|[through, a]| Beside::new(&first, through, a, 1.0));
            let d_x = made(
                grad.nrows(),
                weight.ncols(),
                depth,
                |mut block| match &beside {
                    Some(beside) => block.multiply_by_both(&first, &weight, beside),
                    None => block.multiply_by(&first, &weight),
                },
            );
            grads.register::<Flex>(node.id, d_x);
        }
        if let (true, Some(node), Some(through), Some(a)) = (own, input_node, &through, &saved.a) {
            let d_input = product(matrix(through), matrix(a).transpose());
            grads.register::<Flex>(node.id, d_input);
        }
        if let (Some(node), Some(through), Some(input)) = (a_node, &through, &saved.input) {
            let d_a = match input.rounded_rows() {
                Some(input) => {
                    let d_a = product_with_rounded(matrix(through).transpose(), input, 1.0);
                    Flex::float_transpose(d_a)
                }
                None => product(matrix(&input.tensor()).transpose(), matrix(through)),
            };
            grads.register::<Flex>(node.id, d_a);
        }
        if let (Some(node), Some(hidden)) = (b_node, &saved.hidden) {
            let hidden = matrix(hidden).transpose();
            let d_b = match &first.rounded {
                Some(grad) => product_with_rounded(hidden, grad, scale),
                None => scaled_product(hidden, grad, scale),
            };
            grads.register::<Flex>(node.id, d_b);
        }
    }
}
