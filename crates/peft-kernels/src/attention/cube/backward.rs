//! What the kernels of the gradients share: the weights of a tile again, and their slopes.

use burn_cubecl::cubecl;
use cubecl::prelude::*;

use super::tiles::{Place, Tiling, own, score, unit_x, unit_y};

/// Of every query of a tile the largest score, one over the sum of exponentials, and the product of its output with that one's gradient.
#[derive(CubeType)]
pub(super) struct Rows {
    pub(super) largest: Shared<[f32]>,
    pub(super) inverse: Shared<[f32]>,
    pub(super) product: Shared<[f32]>,
}

#[cube]
impl Rows {
    pub(super) fn new(#[comptime] how: Tiling) -> Self {
        Rows {
            largest: Shared::<[f32]>::new_slice(comptime!(how.tile)),
            inverse: Shared::<[f32]>::new_slice(comptime!(how.tile)),
            product: Shared::<[f32]>::new_slice(comptime!(how.tile)),
        }
    }

    /// Reads the largest and the inverse, one unit for each query; gives the place of the unit's query among all, where it has one.
    pub(super) fn load(
        &mut self,
        rows: &Tensor<f32>,
        heads: usize,
        place: &Place,
        #[comptime] how: Tiling,
    ) -> (bool, usize) {
        let row = UNIT_POS as usize;
        let is_one = row < comptime!(how.tile) && place.query + row < place.queries;
        let at = (place.batch * heads + place.head) * place.queries + place.query + row;
        if is_one {
            self.largest[row] = rows[2 * at];
            self.inverse[row] = rows[2 * at + 1];
        }
        (is_one, at)
    }

    /// The same with the products, which another kernel wrote.
    pub(super) fn load_with(
        &mut self,
        products: &Tensor<f32>,
        rows: &Tensor<f32>,
        heads: usize,
        place: &Place,
        #[comptime] how: Tiling,
    ) {
        let (is_one, at) = self.load(rows, heads, place, how);
        if is_one {
            self.product[UNIT_POS as usize] = products[at];
        }
    }
}

/// The weights of a unit's part of a tile; 0 where there is no such query or key, or the one does not see the other.
#[cube]
pub(super) fn softmax<F: Float, I: Int>(
    with_keys: &Array<f32>,
    bias: &Tensor<F>,
    seen: &Tensor<I>,
    place: &Place,
    known: &Rows,
    #[comptime] how: Tiling,
) -> Array<f32> {
    let mut chosen = Array::<f32>::new(comptime!(how.own * how.own));
    #[unroll]
    for r in 0..comptime!(how.own) {
        let row = own(unit_y(how), r, how);
        #[unroll]
        for c in 0..comptime!(how.own) {
            let column = own(unit_x(how), c, how);
            let product = with_keys[comptime!(r * how.own + c)];
            let mut weight = 0.0f32;
            if place.query + row < place.queries && place.key + column < place.keys {
                let score = score(product, bias, seen, place, row, column, how);
                weight = (score - known.largest[row]).exp() * known.inverse[row];
            }
            chosen[comptime!(r * how.own + c)] = weight;
        }
    }
    chosen
}

/// Writes a unit's part of a tile where the others read it.
#[cube]
pub(super) fn share(chosen: &Array<f32>, weights: &mut Shared<[f32]>, #[comptime] how: Tiling) {
    #[unroll]
    for r in 0..comptime!(how.own) {
        let row = own(unit_y(how), r, how);
        #[unroll]
        for c in 0..comptime!(how.own) {
            let column = own(unit_x(how), c, how);
            weights[row * comptime!(how.pitch_of_scores()) + column] =
                chosen[comptime!(r * how.own + c)];
        }
    }
}

/// `scale p (g v - g y)` of a tile, where the others read it; 0 where there is no such query or key.
#[cube]
pub(super) fn slopes(
    chosen: &Array<f32>,
    with_values: &Array<f32>,
    known: &Rows,
    scale: f32,
    weights: &mut Shared<[f32]>,
    #[comptime] how: Tiling,
) {
    let mut found = Array::<f32>::new(comptime!(how.own * how.own));
    #[unroll]
    for r in 0..comptime!(how.own) {
        let row = own(unit_y(how), r, how);
        #[unroll]
        for c in 0..comptime!(how.own) {
            let at = comptime!(r * how.own + c);
            let weight = chosen[at];
            let mut slope = scale * weight * (with_values[at] - known.product[row]);
            // What is known of a query that there is not is nothing at all. Not `!=`: devices may find a NaN neither equal nor unequal.
            if weight == 0.0f32 {
                slope = 0.0f32;
            }
            found[at] = slope;
        }
    }
    share(&found, weights, how);
}
