//! GELU fused on flex.
//!
//! ```text
//! exact   dx = g (Phi(x) + x phi(x)),                  phi(x) = e^(-x^2 / 2) / sqrt(2 pi)
//! tanh    dx = g (s + 2 x s (1 - s) u'),               s = sigmoid(2 u), u' = sqrt(2 / pi) (1 + 3 * 0.044715 x^2)
//! ```

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, unary};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;
use pulp::Simd;

use crate::flex::{Kernel, contiguous, transform, values};
use crate::fused::fused;
use crate::kept::{Kept, Recipe, was_made};
use crate::math::{mul_add, normal, sigmoid};

/// `1 / sqrt(2 pi)`.
const INV_SQRT_2_PI: f32 = 0.398_942_3;
/// `2 sqrt(2 / pi)`.
const TWO_SQRT_2_OVER_PI: f32 = 1.595_769_1;
/// The cubic coefficient of the tanh form.
const CUBIC: f32 = 0.044_715;
/// Beyond it the tanh form's sigmoid is 0 or 1 in f32, and cubes of larger values could overflow.
const SATURATED: f32 = 12.0;

/// Which `Phi`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Form {
    Erf,
    Tanh,
}

/// The fused GELU, or the tensor back when it does not live where the fused path applies.
pub(super) fn gelu<const D: usize>(x: Tensor<D>, form: Form) -> Result<Tensor<D>, Tensor<D>> {
    Ok(Tensor::from_dispatch(Dispatch::fused_gelu(fused(x)?, form)))
}

#[backend_extension(Autodiff, Flex)]
pub(super) trait GeluOps: Backend {
    fn fused_gelu(x: FloatTensor<Self>, form: Form) -> FloatTensor<Self>;
}

impl GeluOps for Flex {
    fn fused_gelu(x: FlexTensor, form: Form) -> FlexTensor {
        match form {
            Form::Erf => transform(x, 1, &Forward::<false>),
            Form::Tanh => transform(x, 1, &Forward::<true>),
        }
    }
}

impl<C: CheckpointStrategy> GeluOps for Autodiff<Flex, C> {
    fn fused_gelu(x: FloatTensor<Self>, form: Form) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        match GeluStep(form)
            .prepare::<C>([node])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => {
                let x = contiguous(x);
                let kept = Kept::new(x.clone());
                let y = Flex::fused_gelu(x, form);
                was_made(&y, Again(kept.clone(), form));
                prep.finish(kept, y)
            }
            OpsKind::UnTracked(prep) => prep.finish(Flex::fused_gelu(x, form)),
        }
    }
}

/// The output of a kept input.
#[derive(Debug)]
struct Again(Kept, Form);

impl Recipe for Again {
    fn make(&self) -> FlexTensor {
        Flex::fused_gelu(self.0.tensor(), self.1)
    }
}

#[derive(Debug)]
struct GeluStep(Form);

impl Backward<Flex, 1> for GeluStep {
    type State = Kept;

    fn backward(self, ops: Ops<Kept, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let x = ops.state.tensor();
        unary::<Flex, _>(ops.parents, ops.node, grads, |grad| match self.0 {
            Form::Erf => transform(grad, 1, &Derivative::<false>(values(&x))),
            Form::Tanh => transform(grad, 1, &Derivative::<true>(values(&x))),
        });
    }
}

struct Forward<const TANH: bool>;

impl<const TANH: bool> Kernel for Forward<TANH> {
    const NAME: &'static str = "gelu";

    #[inline(always)]
    fn run<S: Simd>(&self, _start: usize, chunk: &mut [f32]) {
        for x in chunk {
            let phi = if TANH {
                tanh_phi::<S>(*x).0
            } else {
                normal::<S>(*x).0
            };
            *x *= phi;
        }
    }
}

/// Multiplies the gradient by the derivative at the saved input.
struct Derivative<'a, const TANH: bool>(&'a [f32]);

impl<const TANH: bool> Kernel for Derivative<'_, TANH> {
    const NAME: &'static str = "gelu backward";
    const STREAMS: usize = 3;

    #[inline(always)]
    fn run<S: Simd>(&self, start: usize, chunk: &mut [f32]) {
        let inputs = &self.0[start..start + chunk.len()];
        for (grad, &x) in chunk.iter_mut().zip(inputs) {
            let derivative = if TANH {
                let (s, rest, slope) = tanh_phi::<S>(x);
                mul_add::<S>(x * s * rest, slope, s)
            } else {
                let (phi, gaussian) = normal::<S>(x);
                mul_add::<S>(x * INV_SQRT_2_PI, gaussian, phi)
            };
            *grad *= derivative;
        }
    }
}

/// `(s, 1 - s, 2 u')` of the tanh form; NaN stays NaN.
#[inline(always)]
pub(crate) fn tanh_phi<S: Simd>(x: f32) -> (f32, f32, f32) {
    let x = if x > SATURATED { SATURATED } else { x };
    let x = if x < -SATURATED { -SATURATED } else { x };
    let square = CUBIC * x * x;
    let u = TWO_SQRT_2_OVER_PI * mul_add::<S>(square, x, x);
    let slope = TWO_SQRT_2_OVER_PI * mul_add::<S>(square, 3.0, 1.0);
    let (s, rest) = sigmoid::<S>(u);
    (s, rest, slope)
}
