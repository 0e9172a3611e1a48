//! The kernel of the sums, and how it is launched.

use burn::backend::cubecl::dtype_to_storage_type;
use burn_cubecl::tensor::CubeTensor;
use burn_cubecl::{CubeBackend, cubecl};
use cubecl::prelude::*;

use super::{PARTS, SquaredNormKernels};
use crate::cube::launch::{UNITS, address, contiguous, cube_sum};
use crate::profile;

impl SquaredNormKernels for CubeBackend {
    fn add_squares(sums: CubeTensor, x: CubeTensor, at: usize) -> CubeTensor {
        let x = contiguous(x);
        let _call = profile::call("squares on cube", &[], x.meta.num_elements());
        let (client, dtype) = (x.client.clone(), x.dtype);
        // What somebody else holds is not written over.
        let sums = match sums.can_mut() {
            true => sums,
            false => sums.copy(),
        };
        add_squares_kernel::launch(
            &client,
            CubeCount::Static(PARTS as u32, 1, 1),
            CubeDim::new_1d(UNITS),
            address(&[&x]),
            x.into_tensor_arg(),
            sums.clone().into_tensor_arg(),
            at * PARTS,
            dtype_to_storage_type(dtype),
        );
        sums
    }
}

/// A cube for each part, which takes every so many-th group of values.
#[cube(launch, address_type = "dynamic")]
fn add_squares_kernel<F: Float>(
    x: &Tensor<F>,
    sums: &mut Tensor<f32>,
    first: usize,
    #[define(F)] _dtype: ElemType,
) {
    let mut scratch = Shared::<[f32]>::new_slice(UNITS as usize);
    let mut sum = 0.0f32;
    let step = comptime!(PARTS * UNITS as usize);
    for at in range_stepped(ABSOLUTE_POS, x.len(), step) {
        let value = f32::cast_from(x[at]);
        sum += value * value;
    }
    let sum = cube_sum(sum, &mut scratch);
    if UNIT_POS == 0 {
        sums[first + CUBE_POS] = sum;
    }
}
