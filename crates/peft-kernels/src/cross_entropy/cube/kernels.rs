//! The kernels of the loss, and how they are launched.

use burn::backend::DType;
use burn::backend::cubecl::dtype_to_storage_type;
use burn_cubecl::tensor::CubeTensor;
use burn_cubecl::{CubeBackend, cubecl};
use cubecl::prelude::*;

use super::CrossEntropyKernels;
use crate::cube::launch::{
    UNITS, address, contiguous, cube_max, cube_sum, in_place_of, over_cubes, room,
};
use crate::profile;

impl CrossEntropyKernels for CubeBackend {
    fn cross_entropy_forward(scores: CubeTensor, targets: CubeTensor) -> (CubeTensor, CubeTensor) {
        let (scores, targets) = (contiguous(scores), contiguous(targets));
        let _call = profile::call("cross entropy on cube", &[], scores.meta.num_elements());
        let (client, dtype, int) = (scores.client.clone(), scores.dtype, targets.dtype);
        let count = targets.meta.num_elements();
        let losses = room(&scores, [count], dtype);
        let rows = room(&scores, [count, 2], DType::F32);
        let (cubes, units) = over_cubes(&client, count);
        cross_entropy_kernel::launch(
            &client,
            cubes,
            units,
            address(&[&scores]),
            scores.into_tensor_arg(),
            targets.into_tensor_arg(),
            losses.clone().into_tensor_arg(),
            rows.clone().into_tensor_arg(),
            [dtype, int].map(dtype_to_storage_type),
        );
        (losses, rows)
    }

    fn cross_entropy_backward(
        grad: CubeTensor,
        scores: CubeTensor,
        targets: CubeTensor,
        rows: CubeTensor,
    ) -> CubeTensor {
        let [grad, scores, targets, rows] = [grad, scores, targets, rows].map(contiguous);
        let values = 2 * scores.meta.num_elements();
        let _call = profile::call("cross entropy backward on cube", &[], values);
        let (client, dtypes) = (scores.client.clone(), [scores.dtype, targets.dtype]);
        let d_scores = in_place_of(&scores, 0);
        let (cubes, units) = over_cubes(&client, targets.meta.num_elements());
        cross_entropy_gradient::launch(
            &client,
            cubes,
            units,
            address(&[&scores]),
            scores.into_tensor_arg(),
            targets.into_tensor_arg(),
            grad.into_tensor_arg(),
            rows.into_tensor_arg(),
            d_scores.argument,
            dtypes.map(dtype_to_storage_type),
        );
        d_scores.tensor
    }
}

/// Every unit has the largest of its scores and the sum of exponentials beside it, which it scales again when a larger one comes.
#[cube(launch, address_type = "dynamic")]
fn cross_entropy_kernel<F: Float, I: Int>(
    scores: &Tensor<F>,
    targets: &Tensor<I>,
    losses: &mut Tensor<F>,
    rows: &mut Tensor<f32>,
    #[define(F, I)] _dtypes: [ElemType; 2],
) {
    let row = CUBE_POS;
    if row >= scores.shape(0) {
        terminate!();
    }
    let classes = scores.shape(1);
    let first = UNIT_POS as usize;
    // Below every score; a unit without scores adds nothing.
    let mut largest = f32::MIN.runtime();
    let mut sum = 0.0f32;
    for i in range_stepped(first, classes, UNITS as usize) {
        let x = f32::cast_from(scores[row * classes + i]);
        if x > largest {
            sum = sum * (largest - x).exp() + 1.0f32;
            largest = x;
        } else {
            sum += (x - largest).exp();
        }
    }
    let mut scratch = Shared::<[f32]>::new_slice(UNITS as usize);
    let of_all = cube_max(largest, &mut scratch);
    let total = cube_sum(sum * (largest - of_all).exp(), &mut scratch);
    if first == 0 {
        let target = usize::cast_from(targets[row]);
        let hit = f32::cast_from(scores[row * classes + target]);
        losses[row] = F::cast_from(total.ln() + (of_all - hit));
        rows[2 * row] = of_all;
        rows[2 * row + 1] = 1.0f32 / total;
    }
}

#[cube(launch, address_type = "dynamic")]
fn cross_entropy_gradient<F: Float, I: Int>(
    scores: &Tensor<F>,
    targets: &Tensor<I>,
    grad: &Tensor<F>,
    rows: &Tensor<f32>,
    d_scores: &mut Tensor<F>,
    #[define(F, I)] _dtypes: [ElemType; 2],
) {
    let row = CUBE_POS;
    if row >= scores.shape(0) {
        terminate!();
    }
    let classes = scores.shape(1);
    let (largest, inverse) = (rows[2 * row], rows[2 * row + 1]);
    let target = usize::cast_from(targets[row]);
    let g = f32::cast_from(grad[row]);
    for i in range_stepped(UNIT_POS as usize, classes, UNITS as usize) {
        let at = row * classes + i;
        let mut slope = (f32::cast_from(scores[at]) - largest).exp() * inverse;
        if i == target {
            slope -= 1.0f32;
        }
        d_scores[at] = F::cast_from(slope * g);
    }
}
