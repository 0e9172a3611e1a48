//! The kernel of the gradient, and how it is launched.

use burn::backend::DType;
use burn::backend::cubecl::dtype_to_storage_type;
use burn_cubecl::tensor::CubeTensor;
use burn_cubecl::{CubeBackend, cubecl};
use cubecl::prelude::*;

use super::NarrowKernels;
use crate::cube::launch::{UNITS, address, contiguous, room, sums_over_rows};
use crate::profile;

/// Rows of a part at least.
const ROWS: usize = 64;
/// Parts at most.
const PARTS: usize = 128;

impl NarrowKernels for CubeBackend {
    fn narrow_gradient(narrow: CubeTensor, wide: CubeTensor, turned: bool) -> CubeTensor {
        let (narrow, wide) = (contiguous(narrow), contiguous(wide));
        let [rows, few] = narrow.meta.shape().dims();
        let [_, many] = wide.meta.shape().dims();
        let values = rows * (few + many) + few * many;
        let _call = profile::call("narrow gradient on cube", &[[few, rows, many]], values);
        let (client, dtype) = (wide.client.clone(), wide.dtype);
        let rows_of_part = ROWS.max(rows.div_ceil(PARTS));
        let parts = rows.div_ceil(rows_of_part);
        let partial = room(&wide, [parts, few * many], DType::F32);
        narrow_partial::launch(
            &client,
            CubeCount::Static((many as u32).div_ceil(UNITS), parts as u32, 1),
            CubeDim::new_1d(UNITS),
            address(&[&narrow, &wide, &partial]),
            narrow.into_tensor_arg(),
            wide.into_tensor_arg(),
            partial.clone().into_tensor_arg(),
            rows_of_part,
            few,
            turned,
            dtype_to_storage_type(dtype),
        );
        let shape = if turned { [many, few] } else { [few, many] };
        sums_over_rows(partial, shape, dtype)
    }
}

/// Sums over some rows of the products of all numbers of the narrow matrix with one of the wide, a unit for each column of that.
#[cube(launch, address_type = "dynamic")]
fn narrow_partial<F: Float>(
    narrow: &Tensor<F>,
    wide: &Tensor<F>,
    partial: &mut Tensor<f32>,
    rows_of_part: usize,
    #[comptime] few: usize,
    #[comptime] turned: bool,
    #[define(F)] _dtype: ElemType,
) {
    let column = ABSOLUTE_POS_X as usize;
    let many = wide.shape(1);
    if column >= many {
        terminate!();
    }
    let part = CUBE_POS_Y as usize;
    let first = part * rows_of_part;
    let end = clamp_max(first + rows_of_part, wide.shape(0));
    let mut sums = Array::<f32>::new(few);
    #[unroll]
    for k in 0..few {
        sums[k] = 0.0f32;
    }
    for row in first..end {
        let value = f32::cast_from(wide[row * many + column]);
        #[unroll]
        for k in 0..few {
            sums[k] += f32::cast_from(narrow[row * few + k]) * value;
        }
    }
    #[unroll]
    for k in 0..few {
        if comptime!(turned) {
            partial[(part * many + column) * few + k] = sums[k];
        } else {
            partial[(part * few + k) * many + column] = sums[k];
        }
    }
}
