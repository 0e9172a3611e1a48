//! Rounding a matrix to a format while it is read: its values are never in memory together.

use std::iter::repeat_n;
use std::sync::Arc;

use peft_core::PackedRows;
use peft_gguf::GgmlType;
use peft_gguf::block::{BlockError, quantise};
use peft_kernels::{Nf4, Nf4Error};
use rayon::prelude::*;

use super::{Blocks, PackError, PackFormat};

/// Values that a thread rounds at a time, a multiple of every block.
const CHUNK: usize = 64 * 1024;

/// A matrix `[rows, columns]` that is being rounded; the columns are whole blocks.
#[derive(Debug)]
pub(crate) enum Packing {
    /// To blocks of ggml.
    Ggml {
        kind: GgmlType,
        dims: [usize; 2],
        /// Of the whole matrix; shared from the start, because sharing bytes later would copy them.
        bytes: Arc<[u8]>,
        /// Bytes that have their values.
        filled: usize,
    },
    /// To NF4.
    Nf4(Nf4),
}

impl Packing {
    /// A matrix without values as yet.
    pub(crate) fn new(format: PackFormat, dims: [usize; 2]) -> Result<Self, PackError> {
        Ok(match format {
            PackFormat::Ggml(kind) => Self::Ggml {
                kind,
                dims,
                bytes: repeat_n(0, format.bytes(dims[0] * dims[1])).collect(),
                filled: 0,
            },
            PackFormat::Nf4 => Self::Nf4(Nf4::empty(dims)?),
        })
    }

    /// The next values, row after row: whole blocks of them.
    ///
    /// # Errors
    /// [`PackError`] for values that are not finite or too large for the format.
    pub(crate) fn push(&mut self, values: &[f32]) -> Result<(), PackError> {
        let seen = self.seen();
        let chunks = values.par_chunks(CHUNK).enumerate();
        match self {
            Self::Ggml {
                kind,
                bytes,
                filled,
                ..
            } => {
                let parts = chunks.map(|(at, values)| {
                    let mut bytes = Vec::new();
                    let rounded = quantise(*kind, values, &mut bytes);
                    rounded.map_err(|error| behind(error.into(), seen + at * CHUNK))?;
                    Ok(bytes)
                });
                let parts: Vec<Vec<u8>> = parts.collect::<Result<_, PackError>>()?;
                let bytes = Arc::make_mut(bytes);
                for part in &parts {
                    let end = *filled + part.len();
                    bytes[*filled..end].copy_from_slice(part);
                    *filled = end;
                }
            }
            Self::Nf4(nf4) => {
                let parts = chunks.map(|(at, values)| {
                    let blocks = Nf4::blocks(values);
                    blocks.map_err(|error| behind(error.into(), seen + at * CHUNK))
                });
                for part in parts.collect::<Result<Vec<_>, PackError>>()? {
                    nf4.extend(&part);
                }
            }
        }
        Ok(())
    }

    /// Values that were given.
    fn seen(&self) -> usize {
        match self {
            Self::Ggml { kind, filled, .. } => {
                filled / kind.block_bytes() as usize * kind.block_values() as usize
            }
            Self::Nf4(nf4) => nf4.scales().len() * Nf4::BLOCK,
        }
    }

    /// The matrix, all of whose values were given; `None` where they were not.
    pub(crate) fn finish(self) -> Option<Arc<dyn PackedRows>> {
        match self {
            Self::Ggml {
                kind,
                dims,
                bytes,
                filled,
            } => {
                let shape = dims.map(|size| size as u64);
                let bytes = (filled == bytes.len()).then_some(bytes)?;
                let tensor = peft_gguf::PackedTensor::new(kind, &shape, bytes).ok()?;
                Some(Arc::new(Blocks::new(tensor, None)?))
            }
            Self::Nf4(nf4) => nf4.is_whole().then(|| Arc::new(nf4) as Arc<dyn PackedRows>),
        }
    }
}

/// The error of values that stand behind others.
fn behind(error: PackError, others: usize) -> PackError {
    match error {
        PackError::Block(BlockError::NotFinite { kind, index, value }) => {
            let index = index + others;
            BlockError::NotFinite { kind, index, value }.into()
        }
        PackError::Block(BlockError::TooLarge { kind, index, value }) => {
            let index = index + others;
            BlockError::TooLarge { kind, index, value }.into()
        }
        PackError::Nf4(Nf4Error::NotFinite { index, value }) => {
            let index = index + others;
            Nf4Error::NotFinite { index, value }.into()
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A matrix in pieces is the matrix at once, and what is wrong has its place in the whole.
    #[test]
    fn pieces_make_the_whole() {
        let dims = [3 * CHUNK / 128, 256];
        let mut values: Vec<f32> = (0..dims[0] * dims[1])
            .map(|at| ((at * 37 % 1001) as f32 - 500.0) / 700.0)
            .collect();
        for format in PackFormat::names().map(|name| name.parse::<PackFormat>().unwrap()) {
            let unpacked = |length: usize| {
                let mut packing = Packing::new(format, dims).unwrap();
                for piece in values.chunks(length) {
                    packing.push(piece).unwrap();
                }
                let rows = packing.finish().unwrap();
                let mut values = vec![f32::NAN; dims[0] * dims[1]];
                rows.unpack(0..dims[0], 0..dims[1], &mut values);
                values
            };
            let whole = unpacked(values.len());
            assert!(whole == unpacked(CHUNK + 256), "{format}");
            let apart = whole.iter().zip(&values).map(|(a, b)| (a - b).abs());
            assert!(apart.fold(0.0, f32::max) < 0.15, "{format}");
            let mut short = Packing::new(format, dims).unwrap();
            short.push(&values[..256]).unwrap();
            assert!(short.finish().is_none(), "{format}");
        }
        let bad = 2 * CHUNK + 70;
        values[bad] = f32::NAN;
        for format in ["nf4", "q8_0", "q4_k"] {
            let mut packing = Packing::new(format.parse().unwrap(), dims).unwrap();
            let pushed = values.chunks(CHUNK + 256).map(|piece| packing.push(piece));
            let error = pushed.filter_map(Result::err).next().unwrap().to_string();
            assert!(
                error.contains(&format!("value {bad} is NaN")),
                "{format}: {error}"
            );
        }
    }
}
