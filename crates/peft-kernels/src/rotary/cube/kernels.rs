//! The kernel of the rotation, and how it is launched.

use burn::backend::cubecl::dtype_to_storage_type;
use burn_cubecl::tensor::CubeTensor;
use burn_cubecl::{CubeBackend, cubecl};
use cubecl::prelude::*;

use super::RotaryKernels;
use crate::cube::launch::{address, contiguous, in_place_of, over_units, strided};
use crate::profile;

impl RotaryKernels for CubeBackend {
    fn rotary_turn(x: CubeTensor, cos: CubeTensor, sin: CubeTensor, sign: f32) -> CubeTensor {
        let (x, cos, sin) = (strided(x), contiguous(cos), contiguous(sin));
        let count = x.meta.num_elements();
        let _call = profile::call("rotary on cube", &[], 2 * count);
        let (client, dtype) = (x.client.clone(), x.dtype);
        let y = in_place_of(&x, 0);
        let (cubes, units) = over_units(&client, count / 2);
        rotary_kernel::launch(
            &client,
            cubes,
            units,
            address(&[&x, &y.tensor]),
            x.into_tensor_arg(),
            cos.into_tensor_arg(),
            sin.into_tensor_arg(),
            y.argument,
            sign,
            dtype_to_storage_type(dtype),
        );
        y.tensor
    }
}

/// `x` and `y` may be views, and one tensor: a unit has read its pair before it writes.
#[cube(launch, address_type = "dynamic")]
fn rotary_kernel<F: Float>(
    x: &Tensor<F>,
    cos: &Tensor<F>,
    sin: &Tensor<F>,
    y: &mut Tensor<F>,
    sign: f32,
    #[define(F)] _dtype: ElemType,
) {
    let (heads, seq, half) = (x.shape(1), x.shape(2), x.shape(3) / 2);
    let j = ABSOLUTE_POS % half;
    let row = ABSOLUTE_POS / half;
    let position = row % seq;
    let head = row / seq % heads;
    let batch = row / seq / heads;
    if batch >= x.shape(0) {
        terminate!();
    }
    // Angles that all of the batch share stand once.
    let mut angle = position * half + j;
    if cos.shape(0) > 1 {
        angle += batch * seq * half;
    }
    let (c, s) = (
        f32::cast_from(cos[angle]),
        sign * f32::cast_from(sin[angle]),
    );
    let from = batch * x.stride(0) + head * x.stride(1) + position * x.stride(2);
    let left = f32::cast_from(x[from + j * x.stride(3)]);
    let right = f32::cast_from(x[from + (j + half) * x.stride(3)]);
    let to = batch * y.stride(0) + head * y.stride(1) + position * y.stride(2);
    let along = y.stride(3);
    y[to + j * along] = F::cast_from(left * c - right * s);
    y[to + (j + half) * along] = F::cast_from(right * c + left * s);
}
