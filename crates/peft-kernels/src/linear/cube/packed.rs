//! Products with a packed weight that lies in the device's memory: it is unpacked for each product, and for that of the gradient again, so that no
//! more than one layer is unpacked at a time.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, unary};
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Autodiff, Backend, Cube, DType, Dispatch, backend_extension};
use burn::tensor::Tensor;

use crate::compute::rounding;
use crate::cube::{cast, on_cube};
use crate::packed::PackedWeight;
use crate::packed::cube::{Form, UnpackKernels, What};

/// `x W`, or the input back where the kernels do not apply or the format has no form for devices.
pub(super) fn product(x: Tensor<2>, weight: &PackedWeight) -> Result<Tensor<2>, Tensor<2>> {
    let device = x.device();
    let Some(there) = weight.on_cube(&device).filter(|_| x.dtype() == DType::F32) else {
        return Err(x);
    };
    let dtype = rounding(&x).map_or(DType::F32, DType::from);
    let x = on_cube(&x.clone(), x)?;
    let how = How {
        dtype,
        form: there.form,
        stored: there.dims,
        transposed: weight.is_transposed(),
    };
    // The operation is one of the device with a graph, where it has one.
    let lines = match device.is_autodiff() {
        true => there.lines.autodiff(),
        false => there.lines,
    };
    let words = match device.is_autodiff() {
        true => there.words.autodiff(),
        false => there.words,
    };
    let y = Dispatch::cube_packed(x, words.into_dispatch(), lines.into_dispatch(), how);
    Ok(Tensor::from_dispatch(y))
}

/// What is no tensor.
#[derive(Debug, Clone, Copy)]
pub(super) struct How {
    /// What both factors are multiplied in; inputs and outputs are f32.
    dtype: DType,
    form: Form,
    /// Rows and columns as they are stored.
    stored: [usize; 2],
    /// Whether a stored row is what one output is made of.
    transposed: bool,
}

#[backend_extension(Autodiff, Cube)]
pub(super) trait PackedOps: Backend {
    fn cube_packed(
        x: FloatTensor<Self>,
        words: IntTensor<Self>,
        lines: FloatTensor<Self>,
        how: How,
    ) -> FloatTensor<Self>;
}

/// The product with the values, or with the values turned, for the gradient.
fn times<B: UnpackKernels>(
    x: FloatTensor<B>,
    words: IntTensor<B>,
    lines: FloatTensor<B>,
    how: How,
    turned: bool,
) -> FloatTensor<B> {
    let what = What {
        form: how.form,
        dims: how.stored,
        by_ids: false,
        dtype: how.dtype,
    };
    let stored = B::unpack_codes(words.clone(), lines, words, what);
    let weight = match how.transposed != turned {
        true => B::float_transpose(stored),
        false => stored,
    };
    let y = B::float_matmul(cast::<B>(x, how.dtype), weight);
    cast::<B>(y, DType::F32)
}

impl PackedOps for Cube {
    fn cube_packed(
        x: FloatTensor<Self>,
        words: IntTensor<Self>,
        lines: FloatTensor<Self>,
        how: How,
    ) -> FloatTensor<Self> {
        times::<Self>(x, words, lines, how, false)
    }
}

impl<B: UnpackKernels, C: CheckpointStrategy> PackedOps for Autodiff<B, C> {
    fn cube_packed(
        x: FloatTensor<Self>,
        words: IntTensor<Self>,
        lines: FloatTensor<Self>,
        how: How,
    ) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        let lines = lines.into_primitive();
        let y = times::<B>(x, words.clone(), lines.clone(), how, false);
        match PackedStep.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((words, lines, how), y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }
}

#[derive(Debug)]
struct PackedStep;

impl<B: UnpackKernels> Backward<B, 1> for PackedStep {
    /// The codes, which the weight holds anyway.
    type State = (IntTensor<B>, FloatTensor<B>, How);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (words, lines, how) = ops.state;
        unary::<B, _>(ops.parents, ops.node, grads, |grad| {
            times::<B>(grad, words, lines, how, true)
        });
    }
}
