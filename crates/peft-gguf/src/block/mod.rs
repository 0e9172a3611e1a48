//! The block formats, a file each: how values are stored, values of blocks, and blocks of values.
//!
//! Values of blocks are those of ggml, and of the Python package `gguf`, to the last bit. Blocks of values are those of ggml's reference
//! functions (`quantize_row_*_ref`), which llama.cpp uses where no importance matrix is given; the package's differ from them in the
//! sign of zeros alone.
//!
//! Functions of one block take arrays and cannot fail; they are for whoever walks over a tensor in an order of its own.

mod affine;
mod apart;
pub mod bf16;
mod error;
pub mod f16;
mod lines;
mod nibbles;
pub mod plain;
pub mod q2_k;
pub mod q3_k;
pub mod q4_0;
pub mod q4_1;
pub mod q4_k;
pub mod q5_0;
pub mod q5_1;
pub mod q5_k;
pub mod q6_k;
pub mod q8_0;
mod scale;
mod six_bits;
mod symmetric;
mod whole;

pub use apart::Lines;
pub use error::BlockError;
pub use lines::lines;

use crate::GgmlType;

/// The values of blocks: as many whole blocks as `out` has room for, whether a tensor, a row or a piece of a row.
///
/// # Errors
///
/// [`BlockError::Length`], and [`BlockError::Unsupported`] where [`GgmlType::can_dequantise`] says no.
pub fn dequantise(kind: GgmlType, bytes: &[u8], out: &mut [f32]) -> Result<(), BlockError> {
    match kind {
        GgmlType::F16 => f16::dequantise(bytes, out),
        GgmlType::BF16 => bf16::dequantise(bytes, out),
        GgmlType::Q4_0 => q4_0::dequantise(bytes, out),
        GgmlType::Q4_1 => q4_1::dequantise(bytes, out),
        GgmlType::Q5_0 => q5_0::dequantise(bytes, out),
        GgmlType::Q5_1 => q5_1::dequantise(bytes, out),
        GgmlType::Q8_0 => q8_0::dequantise(bytes, out),
        GgmlType::Q2_K => q2_k::dequantise(bytes, out),
        GgmlType::Q3_K => q3_k::dequantise(bytes, out),
        GgmlType::Q4_K => q4_k::dequantise(bytes, out),
        GgmlType::Q5_K => q5_k::dequantise(bytes, out),
        GgmlType::Q6_K => q6_k::dequantise(bytes, out),
        plain if plain.can_dequantise() => plain::dequantise(plain, bytes, out),
        other => Err(unsupported(other, "read", GgmlType::can_dequantise)),
    }
}

/// Appends the blocks of values, which are whole rows or pieces of rows that fill whole blocks. Where values are refused, `out` stays
/// as it was.
///
/// # Errors
///
/// [`BlockError::Partial`], [`BlockError::NotFinite`], [`BlockError::TooLarge`], and [`BlockError::Unsupported`] where
/// [`GgmlType::can_quantise`] says no.
pub fn quantise(kind: GgmlType, values: &[f32], out: &mut Vec<u8>) -> Result<(), BlockError> {
    match kind {
        GgmlType::F32 => plain::quantise(values, out),
        GgmlType::F16 => f16::quantise(values, out),
        GgmlType::BF16 => bf16::quantise(values, out),
        GgmlType::Q4_0 => q4_0::quantise(values, out),
        GgmlType::Q4_1 => q4_1::quantise(values, out),
        GgmlType::Q5_0 => q5_0::quantise(values, out),
        GgmlType::Q5_1 => q5_1::quantise(values, out),
        GgmlType::Q8_0 => q8_0::quantise(values, out),
        GgmlType::Q4_K => q4_k::quantise(values, out),
        GgmlType::Q5_K => q5_k::quantise(values, out),
        GgmlType::Q6_K => q6_k::quantise(values, out),
        other => Err(unsupported(other, "written", GgmlType::can_quantise)),
    }
}

fn unsupported(kind: GgmlType, what: &'static str, can: impl Fn(GgmlType) -> bool) -> BlockError {
    BlockError::Unsupported {
        kind,
        what,
        supported: GgmlType::all().filter(|kind| can(*kind)).collect(),
    }
}
