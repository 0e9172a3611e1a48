//! The kernel of the gradients of the keys and the values.

use burn_cubecl::cubecl;
use cubecl::prelude::*;

use super::backward::{Rows, share, slopes, softmax};
use super::tiles::{Tiling, accumulate, here, load, place, products, store, zeros};
use super::visible::visible;

/// A cube for a tile of keys of a head, with all heads of queries that it serves.
#[cube(launch, address_type = "dynamic")]
pub(super) fn attention_d_key_value<F: Float, I: Int>(
    query: &Tensor<F>,
    key: &Tensor<F>,
    value: &Tensor<F>,
    bias: &Tensor<F>,
    seen: &Tensor<I>,
    ranges: &Tensor<u32>,
    output_products: &Tensor<f32>,
    rows: &Tensor<f32>,
    grad: &Tensor<F>,
    d_key: &mut Tensor<F>,
    d_value: &mut Tensor<F>,
    scale: f32,
    #[comptime] how: Tiling,
    #[define(F, I)] _dtypes: [ElemType; 2],
) {
    let (own_tile, kv_head, batch) = here();
    let group = query.shape(1) / key.shape(1);
    let at = own_tile * comptime!(how.tile);
    let sizes = (query.shape(2), key.shape(2));
    let mut keys = Shared::<[f32]>::new_slice(comptime!(how.room()));
    let mut values = Shared::<[f32]>::new_slice(comptime!(how.room()));
    let mut others = Shared::<[f32]>::new_slice(comptime!(how.room()));
    let mut weights = Shared::<[f32]>::new_slice(comptime!(how.room_of_scores()));
    let mut known = Rows::new(how);
    load(key, batch, kv_head, at, &mut keys, how);
    load(value, batch, kv_head, at, &mut values, how);
    let mut key_sums = zeros(comptime!(how.share()));
    let mut value_sums = zeros(comptime!(how.share()));
    let tiles = sizes.0.div_ceil(comptime!(how.tile));
    for step in 0..group * tiles {
        let (head, tile) = (kv_head * group + step / tiles, step % tiles);
        let first = tile * comptime!(how.tile);
        let (begin, end) = visible(ranges, batch, head, tile, sizes.1, how);
        if at < end && at + comptime!(how.tile) > begin {
            let place = place(scale, batch, head, first, at, sizes);
            sync_cube();
            load(query, batch, head, first, &mut others, how);
            known.load_with(output_products, rows, query.shape(1), &place, how);
            sync_cube();
            let with_keys = products(&others, &keys, how);
            let chosen = softmax(&with_keys, bias, seen, &place, &known, how);
            share(&chosen, &mut weights, how);
            sync_cube();
            load(grad, batch, head, first, &mut others, how);
            sync_cube();
            let with_values = products(&others, &values, how);
            accumulate(&weights, &others, &mut value_sums, true, how);
            sync_cube();
            slopes(&chosen, &with_values, &known, scale, &mut weights, how);
            load(query, batch, head, first, &mut others, how);
            sync_cube();
            accumulate(&weights, &others, &mut key_sums, true, how);
        }
    }
    store(&key_sums, d_key, batch, kv_head, at, how);
    store(&value_sums, d_value, batch, kv_head, at, how);
}
