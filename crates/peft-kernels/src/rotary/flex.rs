//! Rotary position embedding fused on flex; the backward is the rotation by the opposite angle.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, unary};
use burn::backend::flex::FlexTensor;
use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::Tensor;
use pulp::Simd;

use crate::flex::{Kernel, contiguous, transform, values};
use crate::fused::fused;
use crate::math::mul_add;

type Inputs = (Tensor<4>, Tensor<4>, Tensor<4>);

/// The fused rotation, or the tensors back when the fused path does not apply to all of them.
pub(super) fn rotary(x: Tensor<4>, cos: Tensor<4>, sin: Tensor<4>) -> Result<Tensor<4>, Inputs> {
    let (x, cos, sin) = fused((x, cos, sin))?;
    Ok(Tensor::from_dispatch(Dispatch::fused_rotary(x, cos, sin)))
}

#[backend_extension(Autodiff, Flex)]
pub(super) trait RotaryOps: Backend {
    fn fused_rotary(
        x: FloatTensor<Self>,
        cos: FloatTensor<Self>,
        sin: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
}

impl RotaryOps for Flex {
    fn fused_rotary(x: FlexTensor, cos: FlexTensor, sin: FlexTensor) -> FlexTensor {
        Angles::new(cos, sin).turn(x, 1.0)
    }
}

impl<C: CheckpointStrategy> RotaryOps for Autodiff<Flex, C> {
    fn fused_rotary(
        x: FloatTensor<Self>,
        cos: FloatTensor<Self>,
        sin: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        let angles = Angles::new(cos.into_primitive(), sin.into_primitive());
        let step = RotaryStep.prepare::<C>([node]);
        let y = angles.turn(x, 1.0);
        match step.compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(angles, y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }
}

#[derive(Debug)]
struct RotaryStep;

impl Backward<Flex, 1> for RotaryStep {
    type State = Angles;

    fn backward(self, ops: Ops<Angles, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let angles = ops.state;
        unary::<Flex, _>(ops.parents, ops.node, grads, |grad| angles.turn(grad, -1.0));
    }
}

/// Cosines and sines in row-major order, `[batch or 1, 1, seq, d / 2]`.
#[derive(Clone, Debug)]
struct Angles {
    cos: FlexTensor,
    sin: FlexTensor,
}

impl Angles {
    fn new(cos: FlexTensor, sin: FlexTensor) -> Self {
        Self {
            cos: contiguous(cos),
            sin: contiguous(sin),
        }
    }

    /// Turns every head by the angles times `sign`, in place when nobody else holds `x`. The heads of a token stay side by side where they
    /// are so.
    fn turn(&self, x: FlexTensor, sign: f32) -> FlexTensor {
        let (shape, angles) = (x.shape(), self.cos.shape());
        let (heads, seq, d) = (shape[1], shape[2], shape[3]);
        let strides = x.layout().strides();
        let by_token = strides[1] < strides[2];
        let turn = Turn {
            cos: values(&self.cos),
            sin: values(&self.sin),
            sign,
            d,
            seq,
            rows_per_position: if by_token { heads } else { 1 },
            rows_per_batch: if angles[0] == 1 {
                usize::MAX
            } else {
                heads * seq
            },
        };
        match by_token {
            true => swapped(transform(swapped(x), d.max(1), &turn)),
            false => transform(x, d.max(1), &turn),
        }
    }
}

/// Tokens before heads, or heads before tokens again; no value moves.
fn swapped(x: FlexTensor) -> FlexTensor {
    Flex::float_swap_dims(x, 1, 2)
}

struct Turn<'a> {
    cos: &'a [f32],
    sin: &'a [f32],
    sign: f32,
    d: usize,
    seq: usize,
    /// Neighbouring rows of one position.
    rows_per_position: usize,
    /// Rows of `x` that share their angles but for the position.
    rows_per_batch: usize,
}

impl Kernel for Turn<'_> {
    const NAME: &'static str = "rotary";

    #[inline(always)]
    fn run<S: Simd>(&self, start: usize, chunk: &mut [f32]) {
        let half = self.d / 2;
        let first = start / self.d;
        for (i, row) in chunk.chunks_exact_mut(self.d).enumerate() {
            let row_index = first + i;
            let batch = row_index / self.rows_per_batch;
            let position = row_index / self.rows_per_position % self.seq;
            let at = (batch * self.seq + position) * half;
            let (left, right) = row.split_at_mut(half);
            let angles = self.cos[at..at + half].iter().zip(&self.sin[at..at + half]);
            for ((left, right), (cos, sin)) in left.iter_mut().zip(right).zip(angles) {
                let sin = self.sign * sin;
                let (a, b) = (*left, *right);
                *left = mul_add::<S>(a, *cos, -(b * sin));
                *right = mul_add::<S>(b, *cos, a * sin);
            }
        }
    }
}
