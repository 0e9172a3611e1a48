//! The kernels of the norm, and how they are launched.

use burn::backend::DType;
use burn::backend::cubecl::dtype_to_storage_type;
use burn_cubecl::cubecl;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use crate::cube::launch::{
    UNITS, address, contiguous, cube_sum, in_place_of, over_cubes, room, sums_over_rows,
};
use crate::profile;

/// Rows that a unit adds up at least, in the first stage of a sum over rows.
const ROWS: usize = 32;
/// Parts into which the first stage of a sum over rows is divided at most.
const PARTS: usize = 256;

/// The output, and one over the size of every row.
pub(super) fn forward(x: CubeTensor, gamma: CubeTensor, eps: f32) -> (CubeTensor, CubeTensor) {
    let (x, gamma) = (contiguous(x), contiguous(gamma));
    let (count, d) = (x.meta.num_elements(), gamma.meta.num_elements());
    let _call = profile::call("rms norm on cube", &[], 2 * count);
    let (client, dtype) = (x.client.clone(), x.dtype);
    let y = room(&x, x.meta.shape().clone(), dtype);
    let roots = room(&x, [count / d], DType::F32);
    let (cubes, units) = over_cubes(&client, count / d);
    rms_norm_kernel::launch(
        &client,
        cubes,
        units,
        address(&[&x]),
        x.into_tensor_arg(),
        gamma.into_tensor_arg(),
        y.clone().into_tensor_arg(),
        roots.clone().into_tensor_arg(),
        eps,
        dtype_to_storage_type(dtype),
    );
    (y, roots)
}

/// The gradient of the input.
pub(super) fn d_input(
    grad: CubeTensor,
    x: CubeTensor,
    gamma: CubeTensor,
    roots: CubeTensor,
) -> CubeTensor {
    let [grad, x, gamma, roots] = [grad, x, gamma, roots].map(contiguous);
    let (client, dtype, rows) = (x.client.clone(), x.dtype, roots.meta.num_elements());
    let values = 3 * x.meta.num_elements();
    let _call = profile::call("rms norm backward on cube", &[], values);
    let dx = in_place_of(&grad, 0);
    let (cubes, units) = over_cubes(&client, rows);
    rms_norm_d_input::launch(
        &client,
        cubes,
        units,
        address(&[&x]),
        grad.into_tensor_arg(),
        x.into_tensor_arg(),
        gamma.into_tensor_arg(),
        roots.into_tensor_arg(),
        dx.argument,
        dtype_to_storage_type(dtype),
    );
    dx.tensor
}

/// The gradient of the scale.
pub(super) fn d_gamma(
    grad: CubeTensor,
    x: CubeTensor,
    gamma: CubeTensor,
    roots: CubeTensor,
) -> CubeTensor {
    let [grad, x, roots] = [grad, x, roots].map(contiguous);
    let (client, dtype) = (x.client.clone(), x.dtype);
    let (rows, d) = (roots.meta.num_elements(), gamma.meta.num_elements());
    let _call = profile::call("rms norm scale on cube", &[], 2 * rows * d);
    let rows_of_part = ROWS.max(rows.div_ceil(PARTS));
    let parts = rows.div_ceil(rows_of_part);
    let partial = room(&x, [parts, d], DType::F32);
    let columns = (d as u32).div_ceil(UNITS);
    rms_norm_partial_d_gamma::launch(
        &client,
        CubeCount::Static(columns, parts as u32, 1),
        CubeDim::new_1d(UNITS),
        address(&[&x]),
        grad.into_tensor_arg(),
        x.into_tensor_arg(),
        roots.into_tensor_arg(),
        partial.clone().into_tensor_arg(),
        rows_of_part,
        dtype_to_storage_type(dtype),
    );
    sums_over_rows(partial, [d], dtype)
}

#[cube(launch, address_type = "dynamic")]
fn rms_norm_kernel<F: Float>(
    x: &Tensor<F>,
    gamma: &Tensor<F>,
    y: &mut Tensor<F>,
    roots: &mut Tensor<f32>,
    eps: f32,
    #[define(F)] _dtype: ElemType,
) {
    let row = CUBE_POS;
    if row >= roots.shape(0) {
        terminate!();
    }
    let d = gamma.shape(0);
    let first = UNIT_POS as usize;
    let mut squares = 0.0f32;
    for i in range_stepped(first, d, UNITS as usize) {
        let value = f32::cast_from(x[row * d + i]);
        squares += value * value;
    }
    let mut scratch = Shared::<[f32]>::new_slice(UNITS as usize);
    let total = cube_sum(squares, &mut scratch);
    let root = 1.0f32 / (total / f32::cast_from(d) + eps).sqrt();
    for i in range_stepped(first, d, UNITS as usize) {
        let value = f32::cast_from(x[row * d + i]);
        y[row * d + i] = F::cast_from(value * root * f32::cast_from(gamma[i]));
    }
    if first == 0 {
        roots[row] = root;
    }
}

#[cube(launch, address_type = "dynamic")]
fn rms_norm_d_input<F: Float>(
    grad: &Tensor<F>,
    x: &Tensor<F>,
    gamma: &Tensor<F>,
    roots: &Tensor<f32>,
    dx: &mut Tensor<F>,
    #[define(F)] _dtype: ElemType,
) {
    let row = CUBE_POS;
    if row >= roots.shape(0) {
        terminate!();
    }
    let d = gamma.shape(0);
    let first = UNIT_POS as usize;
    let mut products = 0.0f32;
    for i in range_stepped(first, d, UNITS as usize) {
        let g = f32::cast_from(grad[row * d + i]) * f32::cast_from(gamma[i]);
        products += g * f32::cast_from(x[row * d + i]);
    }
    let mut scratch = Shared::<[f32]>::new_slice(UNITS as usize);
    let total = cube_sum(products, &mut scratch);
    let root = roots[row];
    let along = root * root / f32::cast_from(d) * total;
    for i in range_stepped(first, d, UNITS as usize) {
        let g = f32::cast_from(grad[row * d + i]) * f32::cast_from(gamma[i]);
        let value = f32::cast_from(x[row * d + i]);
        dx[row * d + i] = F::cast_from(root * (g - value * along));
    }
}

/// Sums of `g x r` over some rows, a unit for each column.
#[cube(launch, address_type = "dynamic")]
fn rms_norm_partial_d_gamma<F: Float>(
    grad: &Tensor<F>,
    x: &Tensor<F>,
    roots: &Tensor<f32>,
    partial: &mut Tensor<f32>,
    rows_of_part: usize,
    #[define(F)] _dtype: ElemType,
) {
    let column = ABSOLUTE_POS_X as usize;
    let d = partial.shape(1);
    if column >= d {
        terminate!();
    }
    let part = CUBE_POS_Y as usize;
    let first = part * rows_of_part;
    let end = clamp_max(first + rows_of_part, roots.shape(0));
    let mut sum = 0.0f32;
    for row in first..end {
        let at = row * d + column;
        sum += f32::cast_from(grad[at]) * f32::cast_from(x[at]) * roots[row];
    }
    partial[part * d + column] = sum;
}
