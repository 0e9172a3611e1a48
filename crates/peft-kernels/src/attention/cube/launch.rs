//! How the kernels are launched.

use burn::backend::cubecl::dtype_to_storage_type;
use burn::backend::{DType, Shape};
use burn_cubecl::cubecl;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::How;
use super::by_keys::attention_d_key_value;
use super::by_queries::attention_d_query;
use super::forward::attention_forward;
use super::tiles::{Masked, Tiling};
use super::visible::{attention_visible_by_bias, attention_visible_by_ranges};
use crate::cube::launch::{address, over_units, room, strided};
use crate::profile;

/// The inputs: queries, keys, values and the bias, or another tensor in its place.
type Inputs = [CubeTensor; 4];

/// What all launches of an attention have in common.
struct Plan {
    client: Client,
    tiling: Tiling,
    shape: [usize; 4],
    kv_heads: usize,
    keys: usize,
    dtype: DType,
}

impl Plan {
    fn new([query, key, ..]: &Inputs, how: How) -> Self {
        let shape: [usize; 4] = query.meta.shape().dims();
        let [_, kv_heads, keys, _] = key.meta.shape().dims();
        let memory = query.client.properties().hardware.max_shared_memory_size;
        let tiling = Tiling::new(shape[3], how.masked, memory);
        Self {
            client: query.client.clone(),
            tiling: tiling.expect("asked for before"),
            shape,
            kv_heads,
            keys,
            dtype: query.dtype,
        }
    }

    /// Cubes for every tile of so many rows, of so many heads.
    fn cubes(&self, rows: usize, heads: usize, batch: usize) -> CubeCount {
        let tiles = rows.div_ceil(self.tiling.tile);
        CubeCount::Static(tiles as u32, heads as u32, batch as u32)
    }

    fn units(&self) -> CubeDim {
        CubeDim::new_1d(self.tiling.units() as u32)
    }

    /// Notes a pass with so many products of the size of the scores.
    fn note(&self, name: &'static str, products: usize) -> Option<profile::Call> {
        let [batch, heads, queries, d] = self.shape;
        let product = [batch * heads * queries, d, self.keys];
        let values = batch * d * (2 * heads * queries + 2 * self.kv_heads * self.keys);
        profile::call(name, &vec![product; products], values * products / 2)
    }

    /// The keys that each tile of queries sees; where there is no mask, anything at all.
    fn ranges(&self, bias: &CubeTensor, seen: &CubeTensor) -> CubeTensor {
        let tiles = self.shape[2].div_ceil(self.tiling.tile);
        match self.tiling.masked {
            Masked::No => room(bias, [1, 1, 1, 2], DType::U32),
            Masked::ByBias => {
                let [batch, heads, ..] = bias.meta.shape().dims::<4>();
                let ranges = room(bias, [batch, heads, tiles, 2], DType::U32);
                attention_visible_by_bias::launch(
                    &self.client,
                    self.cubes(self.shape[2], heads, batch),
                    self.units(),
                    address(&[bias]),
                    self.over_queries(bias.clone()).into_tensor_arg(),
                    ranges.clone().into_tensor_arg(),
                    self.tiling,
                    dtype_to_storage_type(self.dtype),
                );
                ranges
            }
            Masked::ByRanges => {
                let sequences = seen.meta.shape()[0];
                let ranges = room(bias, [sequences, 1, tiles, 2], DType::U32);
                let (cubes, units) = over_units(&self.client, sequences * tiles);
                attention_visible_by_ranges::launch(
                    &self.client,
                    cubes,
                    units,
                    address(&[seen]),
                    seen.clone().into_tensor_arg(),
                    ranges.clone().into_tensor_arg(),
                    self.tiling,
                    dtype_to_storage_type(seen.dtype),
                );
                ranges
            }
        }
    }

    /// Types of values and of the bounds of ranges.
    fn types(&self, seen: &CubeTensor) -> [ElemType; 2] {
        [self.dtype, seen.dtype].map(dtype_to_storage_type)
    }

    /// A bias that is the same for every query, as one with all of them.
    fn over_queries(&self, mut bias: CubeTensor) -> CubeTensor {
        bias = over(bias);
        bias.meta.shape[2] = self.shape[2];
        bias
    }
}

/// The tensor with steps of nothing along axes of one, so that any index reads it.
fn over(mut tensor: CubeTensor) -> CubeTensor {
    for axis in 0..tensor.meta.shape().num_dims() - 1 {
        if tensor.meta.shape()[axis] == 1 {
            tensor.meta.strides[axis] = 0;
        }
    }
    tensor
}

/// Room for a tensor of this shape, the heads of a token side by side in memory.
fn room_by_tokens(like: &CubeTensor) -> CubeTensor {
    let [batch, heads, tokens, d] = like.meta.shape().dims();
    let mut tensor = room(like, [batch, tokens, heads, d], like.dtype);
    tensor.meta.shape = Shape::from([batch, heads, tokens, d]);
    let [of_batch, of_token, of_head] = [0, 1, 2].map(|axis| tensor.meta.strides[axis]);
    for (axis, stride) in [of_batch, of_head, of_token].into_iter().enumerate() {
        tensor.meta.strides[axis] = stride;
    }
    tensor
}

/// The output, and what is kept of every query.
pub(super) fn forward(inputs: Inputs, seen: CubeTensor, how: How) -> (CubeTensor, CubeTensor) {
    let plan = Plan::new(&inputs, how);
    let _call = plan.note("attention on cube", 2);
    let [query, key, value, bias] = inputs.map(strided);
    let [batch, heads, queries, _] = plan.shape;
    let y = room_by_tokens(&query);
    let rows = room(&query, [batch, heads, queries, 2], DType::F32);
    let ranges = plan.ranges(&bias, &seen);
    let types = plan.types(&seen);
    attention_forward::launch(
        &plan.client,
        plan.cubes(queries, heads, batch),
        plan.units(),
        address(&[&query, &key, &value, &bias]),
        query.into_tensor_arg(),
        key.into_tensor_arg(),
        value.into_tensor_arg(),
        over(bias).into_tensor_arg(),
        over(seen).into_tensor_arg(),
        over(ranges).into_tensor_arg(),
        y.clone().into_tensor_arg(),
        rows.clone().into_tensor_arg(),
        how.scale,
        plan.tiling,
        types,
    );
    (y, rows)
}

/// The gradient of the queries, and the product of every output with its gradient.
pub(super) fn d_query(
    inputs: Inputs,
    seen: CubeTensor,
    [y, rows, grad]: [CubeTensor; 3],
    how: How,
) -> (CubeTensor, CubeTensor) {
    let plan = Plan::new(&inputs, how);
    let _call = plan.note("attention queries backward on cube", 3);
    let [query, key, value, bias] = inputs.map(strided);
    let [batch, heads, queries, _] = plan.shape;
    let d_query = room_by_tokens(&query);
    let products = room(&query, [batch, heads, queries, 1], DType::F32);
    let ranges = plan.ranges(&bias, &seen);
    let types = plan.types(&seen);
    attention_d_query::launch(
        &plan.client,
        plan.cubes(queries, heads, batch),
        plan.units(),
        address(&[&query, &key, &value, &bias, &grad]),
        query.into_tensor_arg(),
        key.into_tensor_arg(),
        value.into_tensor_arg(),
        over(bias).into_tensor_arg(),
        over(seen).into_tensor_arg(),
        over(ranges).into_tensor_arg(),
        strided(y).into_tensor_arg(),
        rows.into_tensor_arg(),
        strided(grad).into_tensor_arg(),
        d_query.clone().into_tensor_arg(),
        products.clone().into_tensor_arg(),
        how.scale,
        plan.tiling,
        types,
    );
    (d_query, products)
}

/// The gradients of the keys and the values.
pub(super) fn d_key_value(
    inputs: Inputs,
    seen: CubeTensor,
    [products, rows, grad]: [CubeTensor; 3],
    how: How,
) -> (CubeTensor, CubeTensor) {
    let plan = Plan::new(&inputs, how);
    let _call = plan.note("attention keys backward on cube", 4);
    let [query, key, value, bias] = inputs.map(strided);
    let (d_key, d_value) = (room_by_tokens(&key), room_by_tokens(&value));
    let ranges = plan.ranges(&bias, &seen);
    let types = plan.types(&seen);
    attention_d_key_value::launch(
        &plan.client,
        plan.cubes(plan.keys, plan.kv_heads, plan.shape[0]),
        plan.units(),
        address(&[&query, &key, &value, &bias, &grad]),
        query.into_tensor_arg(),
        key.into_tensor_arg(),
        value.into_tensor_arg(),
        over(bias).into_tensor_arg(),
        over(seen).into_tensor_arg(),
        over(ranges).into_tensor_arg(),
        products.into_tensor_arg(),
        rows.into_tensor_arg(),
        strided(grad).into_tensor_arg(),
        d_key.clone().into_tensor_arg(),
        d_value.clone().into_tensor_arg(),
        how.scale,
        plan.tiling,
        types,
    );
    (d_key, d_value)
}
