//! The kernel of the gradient of the queries.

use burn_cubecl::cubecl;
use cubecl::prelude::*;

use super::backward::{Rows, slopes, softmax};
use super::tiles::{Tiling, accumulate, here, load, place, products, store, zeros};
use super::visible::visible;

/// A cube for a tile of queries of a head.
#[cube(launch, address_type = "dynamic")]
pub(super) fn attention_d_query<F: Float, I: Int>(
    query: &Tensor<F>,
    key: &Tensor<F>,
    value: &Tensor<F>,
    bias: &Tensor<F>,
    seen: &Tensor<I>,
    ranges: &Tensor<u32>,
    y: &Tensor<F>,
    rows: &Tensor<f32>,
    grad: &Tensor<F>,
    d_query: &mut Tensor<F>,
    output_products: &mut Tensor<f32>,
    scale: f32,
    #[comptime] how: Tiling,
    #[define(F, I)] _dtypes: [ElemType; 2],
) {
    let (tile, head, batch) = here();
    let kv_head = head / (query.shape(1) / key.shape(1));
    let first = tile * comptime!(how.tile);
    let sizes = (query.shape(2), key.shape(2));
    let mut queries = Shared::<[f32]>::new_slice(comptime!(how.room()));
    let mut grads = Shared::<[f32]>::new_slice(comptime!(how.room()));
    let mut others = Shared::<[f32]>::new_slice(comptime!(how.room()));
    let mut weights = Shared::<[f32]>::new_slice(comptime!(how.room_of_scores()));
    load(query, batch, head, first, &mut queries, how);
    load(grad, batch, head, first, &mut grads, how);
    sync_cube();
    let mut known = Rows::new(how);
    let here = place(scale, batch, head, first, 0, sizes);
    let (is_one, at) = known.load(rows, query.shape(1), &here, how);
    if is_one {
        let product = with_output(y, &grads, batch, head, first, how);
        known.product[UNIT_POS as usize] = product;
        output_products[at] = product;
    }
    let mut sums = zeros(comptime!(how.share()));
    let (begin, end) = visible(ranges, batch, head, tile, sizes.1, how);
    for at in range_stepped(begin, end, comptime!(how.tile)) {
        let place = place(scale, batch, head, first, at, sizes);
        sync_cube();
        load(value, batch, kv_head, at, &mut others, how);
        sync_cube();
        let with_values = products(&grads, &others, how);
        sync_cube();
        load(key, batch, kv_head, at, &mut others, how);
        sync_cube();
        let with_keys = products(&queries, &others, how);
        let chosen = softmax(&with_keys, bias, seen, &place, &known, how);
        slopes(&chosen, &with_values, &known, scale, &mut weights, how);
        sync_cube();
        accumulate(&weights, &others, &mut sums, false, how);
    }
    store(&sums, d_query, batch, head, first, how);
}

/// The product of an output with its gradient, for the query of this unit.
#[cube]
fn with_output<F: Float>(
    y: &Tensor<F>,
    grads: &Shared<[f32]>,
    batch: usize,
    head: usize,
    first: usize,
    #[comptime] how: Tiling,
) -> f32 {
    let row = UNIT_POS as usize;
    let base = batch * y.stride(0) + head * y.stride(1) + (first + row) * y.stride(2);
    let mut sum = 0.0f32;
    for i in 0..comptime!(how.d) {
        let grad = grads[row * comptime!(how.pitch()) + i];
        sum += grad * f32::cast_from(y[base + i * y.stride(3)]);
    }
    sum
}
