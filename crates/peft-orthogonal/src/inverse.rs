//! Inverses of small matrices by Newton's iteration, `X <- X + X (I - A X)`.
//!
//! It consists of products alone, so that nothing waits for the device, and mends its own rounding errors. Each step squares `I - A X`.

use burn::tensor::Tensor;

/// `A^-1` for each matrix of `a [count, n, n]`, from a `start` of that shape with which no eigenvalue of `I - A X` reaches 1 in size.
///
/// The steps are not recorded for the backward pass but for the last one, in which `X` counts as fixed: its gradient is that of the
/// inverse itself, `dX = -X dA X`.
pub(crate) fn inverse(a: Tensor<3>, start: Tensor<3>, steps: usize) -> Tensor<3> {
    let fixed = a.clone().detach();
    let x = (0..steps).fold(start.detach(), |x, _| step(fixed.clone(), x));
    step(a, x)
}

fn step(a: Tensor<3>, x: Tensor<3>) -> Tensor<3> {
    let rest = identity(&x) - a.matmul(x.clone());
    x.clone() + x.matmul(rest)
}

/// The identity beside matrices `[count, n, n]`, shape `[1, n, n]`.
pub(crate) fn identity(matrices: &Tensor<3>) -> Tensor<3> {
    Tensor::<2>::eye(matrices.dims()[2], &matrices.device()).unsqueeze()
}
