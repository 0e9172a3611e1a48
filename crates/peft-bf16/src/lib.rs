//! Matrix products in bfloat16 with sums in f32.
#![doc = include_str!("../README.md")]

#[cfg(target_arch = "x86_64")]
mod avx512;
mod instructions;
mod left;
mod portable;
mod product;
mod right;
#[cfg(test)]
mod tests;
mod trial;
mod zeros;

pub use instructions::is_native;
pub use left::{Left, Piece};
pub use product::{multiply, product};
pub use right::Right;
pub use trial::is_faster;
pub use zeros::zeros;

/// Most inner values of one pass over an output.
pub const DEPTH: usize = 768;

/// Rows of an output that a kernel makes at once; outputs are best cut at multiples of it.
pub const HEIGHT: usize = 8;

/// Values of a vector, and pairs of rounded ones.
const LANES: usize = 16;

/// Vectors side by side that a kernel makes at once.
const VECTORS: usize = 3;

/// Columns of an output that a kernel makes at once.
const WIDTH: usize = VECTORS * LANES;

/// Two rounded values that are neighbours in a sum, the first in the lower half.
type Pair = u32;

/// A piece of an output that a kernel makes.
type Tile = [[f32; WIDTH]; HEIGHT];
