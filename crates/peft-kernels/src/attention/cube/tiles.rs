//! What the kernels share: tiles of rows in shared memory, and what a unit computes of products of them.
//!
//! The units of a cube form a square. Of a matrix of `tile` rows, a unit has the rows `y, y + side, ..` and the columns `x, x + side, ..`.

use burn_cubecl::cubecl;
use cubecl::prelude::*;

/// How a kernel knows which keys a query sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::attention) enum Masked {
    /// It sees all.
    No,
    ByBias,
    ByRanges,
}

/// Sizes that a kernel is compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Tiling {
    /// Queries, and keys, of a tile.
    pub(super) tile: usize,
    /// Units of a side of the square.
    pub(super) side: usize,
    /// Rows, and columns, of a tile of scores that a unit has.
    pub(super) own: usize,
    /// Width of a head.
    pub(super) d: usize,
    /// Columns of a head that a unit has; the last may lie behind the end.
    pub(super) columns: usize,
    pub(super) masked: Masked,
}

impl Tiling {
    /// Units of a side at most.
    const SIDE: usize = 16;

    /// The largest tiles of which three fit into `memory` bytes of a cube, beside a tile of scores; none where even small ones do not.
    pub(super) fn new(d: usize, masked: Masked, memory: usize) -> Option<Self> {
        let tilings = [32, 16, 8].map(|tile: usize| {
            let side = tile.min(Self::SIDE);
            Self {
                tile,
                side,
                own: tile / side,
                d,
                columns: d.div_ceil(side),
                masked,
            }
        });
        let fits = |tiling: &Self| {
            let numbers = 3 * tiling.room() + tiling.room_of_scores() + 3 * tiling.tile;
            numbers * size_of::<f32>() <= memory
        };
        tilings.into_iter().find(fits)
    }

    /// Numbers of a tile that a unit has.
    pub(super) fn share(self) -> usize {
        self.own * self.columns
    }

    pub(super) fn by_bias(self) -> bool {
        self.masked == Masked::ByBias
    }

    pub(super) fn by_ranges(self) -> bool {
        self.masked == Masked::ByRanges
    }

    /// Units of a cube.
    pub(super) fn units(self) -> usize {
        self.side * self.side
    }

    /// Numbers from one row of a tile to the next: one more than there are, so that a column does not lie in one bank of the memory.
    pub(super) fn pitch(self) -> usize {
        self.d + 1
    }

    /// Numbers of a tile, with those that columns behind the end reach.
    pub(super) fn room(self) -> usize {
        self.tile * self.pitch() + self.side
    }

    /// The same for a tile of scores.
    pub(super) fn pitch_of_scores(self) -> usize {
        self.tile + 1
    }

    /// The same for a tile of scores.
    pub(super) fn room_of_scores(self) -> usize {
        self.tile * self.pitch_of_scores()
    }
}

/// The row or column of a tile that is a unit's own at its place `at` of a side.
#[cube]
pub(super) fn own(at: usize, #[comptime] count: usize, #[comptime] how: Tiling) -> usize {
    at + comptime!(count * how.side)
}

/// The place of this unit in the square, from above.
#[cube]
pub(super) fn unit_y(#[comptime] how: Tiling) -> usize {
    UNIT_POS as usize / comptime!(how.side)
}

/// The place of this unit in the square, from the left.
#[cube]
pub(super) fn unit_x(#[comptime] how: Tiling) -> usize {
    UNIT_POS as usize % comptime!(how.side)
}

/// Copies rows of a head, from `first` on; rows behind the last are zeros.
#[cube]
pub(super) fn load<F: Float>(
    from: &Tensor<F>,
    batch: usize,
    head: usize,
    first: usize,
    tile: &mut Shared<[f32]>,
    #[comptime] how: Tiling,
) {
    let rows = from.shape(2);
    let base = batch * from.stride(0) + head * from.stride(1);
    let (down, along) = (from.stride(2), from.stride(3));
    let count = comptime!(how.tile * how.d);
    let d = comptime!(how.d);
    for i in range_stepped(UNIT_POS as usize, count, comptime!(how.units())) {
        let (row, column) = (i / d, i % d);
        let mut value = 0.0f32;
        if first + row < rows {
            value = f32::cast_from(from[base + (first + row) * down + column * along]);
        }
        tile[row * comptime!(how.pitch()) + column] = value;
    }
}

/// Products of rows of `left`, a unit's rows, with rows of `right`, its columns.
#[cube]
pub(super) fn products(
    left: &Shared<[f32]>,
    right: &Shared<[f32]>,
    #[comptime] how: Tiling,
) -> Array<f32> {
    let count = comptime!(how.own);
    let pitch = comptime!(how.pitch());
    let mut found = zeros(comptime!(how.own * how.own));
    let (y, x) = (unit_y(how), unit_x(how));
    for k in 0..comptime!(how.d) {
        #[unroll]
        for r in 0..count {
            let a = left[own(y, r, how) * pitch + k];
            #[unroll]
            for c in 0..count {
                found[r * count + c] += a * right[own(x, c, how) * pitch + k];
            }
        }
    }
    found
}

/// Adds products of weights with rows of `tile` to a unit's part of a tile. `across` takes the columns of the weights in the place of their
/// rows.
#[cube]
pub(super) fn accumulate(
    weights: &Shared<[f32]>,
    tile: &Shared<[f32]>,
    sums: &mut Array<f32>,
    #[comptime] across: bool,
    #[comptime] how: Tiling,
) {
    let count = comptime!(how.columns);
    let pitch = comptime!(how.pitch_of_scores());
    let (y, x) = (unit_y(how), unit_x(how));
    for k in 0..comptime!(how.tile) {
        #[unroll]
        for r in 0..comptime!(how.own) {
            let row = own(y, r, how);
            let weight = if comptime!(across) {
                weights[k * pitch + row]
            } else {
                weights[row * pitch + k]
            };
            #[unroll]
            for c in 0..count {
                let value = tile[k * comptime!(how.pitch()) + own(x, c, how)];
                sums[r * count + c] += weight * value;
            }
        }
    }
}

/// So many zeros.
#[cube]
pub(super) fn zeros(#[comptime] count: usize) -> Array<f32> {
    let mut numbers = Array::<f32>::new(count);
    #[unroll]
    for at in 0..count {
        numbers[at] = 0.0f32;
    }
    numbers
}

/// Writes a unit's part of a tile to the rows of a head from `first` on.
#[cube]
pub(super) fn store<F: Float>(
    sums: &Array<f32>,
    to: &mut Tensor<F>,
    batch: usize,
    head: usize,
    first: usize,
    #[comptime] how: Tiling,
) {
    let count = comptime!(how.columns);
    let base = batch * to.stride(0) + head * to.stride(1);
    #[unroll]
    for r in 0..comptime!(how.own) {
        let row = first + own(unit_y(how), r, how);
        #[unroll]
        for c in 0..count {
            let column = own(unit_x(how), c, how);
            if row < to.shape(2) && column < comptime!(how.d) {
                let at = base + row * to.stride(2) + column * to.stride(3);
                to[at] = F::cast_from(sums[r * count + c]);
            }
        }
    }
}

/// The tile of rows, the head and the sequence of this cube.
#[cube]
pub(super) fn here() -> (usize, usize, usize) {
    (
        CUBE_POS_X as usize,
        CUBE_POS_Y as usize,
        CUBE_POS_Z as usize,
    )
}

/// What a tile of scores is for: its first query and first key, how many there are, and whose they are; and the factor of the scores.
#[derive(CubeType)]
pub(super) struct Place {
    pub(super) scale: f32,
    pub(super) batch: usize,
    pub(super) head: usize,
    pub(super) query: usize,
    pub(super) key: usize,
    pub(super) queries: usize,
    pub(super) keys: usize,
}

/// Where a tile of scores is; `sizes` are the numbers of queries and keys.
#[cube]
pub(super) fn place(
    scale: f32,
    batch: usize,
    head: usize,
    query: usize,
    key: usize,
    sizes: (usize, usize),
) -> Place {
    Place {
        scale,
        batch,
        head,
        query,
        key,
        queries: sizes.0,
        keys: sizes.1,
    }
}

/// The score of a product, with its bias; `f32::MIN` where there is no such query or key, or the one does not see the other.
#[cube]
pub(super) fn score<F: Float, I: Int>(
    product: f32,
    bias: &Tensor<F>,
    seen: &Tensor<I>,
    place: &Place,
    row: usize,
    column: usize,
    #[comptime] how: Tiling,
) -> f32 {
    let (query, key) = (place.query + row, place.key + column);
    let mut found = f32::MIN.runtime();
    if query < place.queries && key < place.keys {
        found = product * place.scale;
        if comptime!(how.by_bias()) {
            let at = place.batch * bias.stride(0)
                + place.head * bias.stride(1)
                + query * bias.stride(2)
                + key * bias.stride(3);
            found += f32::cast_from(bias[at]);
        }
        if comptime!(how.by_ranges()) {
            let at = place.batch * seen.stride(0) + query * seen.stride(1);
            let (begin, end) = (usize::cast_from(seen[at]), usize::cast_from(seen[at + 1]));
            if key < begin || key >= end {
                found = f32::MIN.runtime();
            }
        }
    }
    found
}
