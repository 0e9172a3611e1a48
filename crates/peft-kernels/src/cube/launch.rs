//! The memory that kernels write, how many units work on what, sums over a cube and over rows.

use burn::backend::cubecl::dtype_to_storage_type;
use burn::backend::{DType, Shape};
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::tensor::CubeTensor;
use burn_cubecl::{cubecl, kernel};
use cubecl::prelude::*;

/// Units of a cube, a power of two; every device that runs kernels on a graphics processor has as many.
pub(crate) const UNITS: u32 = 256;

/// The tensor in row-major order without gaps.
pub(crate) fn contiguous(x: CubeTensor) -> CubeTensor {
    kernel::into_contiguous(x)
}

/// The tensor as rows and columns of any steps, as a kernel that follows the steps can read it.
pub(crate) fn strided(x: CubeTensor) -> CubeTensor {
    kernel::untile(x)
}

/// Room for a tensor beside another one, in row-major order without gaps.
pub(crate) fn room(beside: &CubeTensor, shape: impl Into<Shape>, dtype: DType) -> CubeTensor {
    let (client, device) = (beside.client.clone(), beside.device.clone());
    empty_device_contiguous_dtype(client, device, shape.into(), dtype)
}

/// Where a kernel writes a result of the form of its input `at`: in the place of that input when nobody else holds it.
pub(crate) struct Target {
    /// The result.
    pub(crate) tensor: CubeTensor,
    /// What the kernel is given for it.
    pub(crate) argument: TensorArg,
}

/// See [`Target`]; in another place it is in row-major order without gaps.
pub(crate) fn in_place_of(input: &CubeTensor, at: usize) -> Target {
    if input.can_mut() && input.is_nonoverlapping() {
        return Target {
            tensor: input.clone(),
            argument: input.as_tensor_alias(at),
        };
    }
    let tensor = room(input, input.meta.shape().clone(), input.dtype);
    Target {
        argument: tensor.clone().into_tensor_arg(),
        tensor,
    }
}

/// Indices that reach every value of the tensors.
pub(crate) fn address(tensors: &[&CubeTensor]) -> AddressType {
    let types = tensors.iter().map(|tensor| tensor.required_address_type());
    types.max().unwrap_or_default()
}

/// Values that a unit of an elementwise kernel takes at once, a divisor of the number of all.
pub(crate) fn lanes(x: &CubeTensor) -> usize {
    let count = x.meta.num_elements();
    let sizes = x.client.io_optimized_vector_sizes(x.dtype.size());
    let fitting = sizes.filter(|size| count.is_multiple_of(*size));
    fitting.max().unwrap_or(1)
}

/// Cubes and units for so many independent tasks of a unit each.
pub(crate) fn over_units(client: &Client, tasks: usize) -> (CubeCount, CubeDim) {
    let dim = CubeDim::new_1d(UNITS);
    (
        cubecl::calculate_cube_count_elemwise(client, tasks, dim),
        dim,
    )
}

/// Cubes and units for so many tasks of a cube each. There may be a few cubes more.
pub(crate) fn over_cubes(client: &Client, tasks: usize) -> (CubeCount, CubeDim) {
    over_units(client, tasks * UNITS as usize)
}

/// `sums_j = sum_i x_ij`, in the given shape and type: the last stage of a sum whose parts are the rows of `x`.
pub(crate) fn sums_over_rows(x: CubeTensor, shape: impl Into<Shape>, dtype: DType) -> CubeTensor {
    let sums = room(&x, shape, dtype);
    let client = x.client.clone();
    let (cubes, units) = over_units(&client, sums.meta.num_elements());
    sum_over_rows::launch(
        &client,
        cubes,
        units,
        address(&[&x]),
        x.into_tensor_arg(),
        sums.clone().into_tensor_arg(),
        dtype_to_storage_type(dtype),
    );
    sums
}

/// A unit for each column.
#[cube(launch, address_type = "dynamic")]
fn sum_over_rows<F: Float>(x: &Tensor<f32>, sums: &mut Tensor<F>, #[define(F)] _dtype: ElemType) {
    let column = ABSOLUTE_POS;
    let width = x.shape(1);
    if column >= width {
        terminate!();
    }
    let mut sum = 0.0f32;
    for row in 0..x.shape(0) {
        sum += x[row * width + column];
    }
    sums[column] = F::cast_from(sum);
}

/// The sum of what the units of a cube hold, for all of them; always in the same order.
#[cube]
pub(crate) fn cube_sum(value: f32, scratch: &mut Shared<[f32]>) -> f32 {
    let at = UNIT_POS as usize;
    // Somebody may still read what was there.
    sync_cube();
    scratch[at] = value;
    sync_cube();
    let mut span = CUBE_DIM as usize / 2;
    while span > 0 {
        if at < span {
            let other = scratch[at + span];
            scratch[at] += other;
        }
        sync_cube();
        span /= 2;
    }
    scratch[0]
}

/// The largest of what the units of a cube hold, for all of them; NaN is passed over.
#[cube]
pub(crate) fn cube_max(value: f32, scratch: &mut Shared<[f32]>) -> f32 {
    let at = UNIT_POS as usize;
    sync_cube();
    scratch[at] = value;
    sync_cube();
    let mut span = CUBE_DIM as usize / 2;
    while span > 0 {
        if at < span {
            let other = scratch[at + span];
            if other > scratch[at] {
                scratch[at] = other;
            }
        }
        sync_cube();
        span /= 2;
    }
    scratch[0]
}
