//! Weights in a block format of ggml, which bf16 and f16 are too.

use std::borrow::Cow;
use std::ops::Range;

use peft_core::{Codes, PackedRows};
use peft_gguf::PackedTensor;
use peft_gguf::{GgmlType, block};

/// A matrix in a block format.
#[derive(Debug)]
pub(crate) struct Blocks {
    tensor: PackedTensor,
    dims: [usize; 2],
    /// Row `i` is row `order[i]` of the tensor; in place where there is none.
    order: Option<Vec<usize>>,
}

impl Blocks {
    /// A matrix of the rows of a tensor; `None` where it is no matrix, its format is not read, or the order is not one of its rows.
    pub(crate) fn new(tensor: PackedTensor, order: Option<Vec<usize>>) -> Option<Self> {
        let [rows, columns] = *tensor.shape() else {
            return None;
        };
        let dims = [usize::try_from(rows).ok()?, usize::try_from(columns).ok()?];
        let in_range =
            |order: &Vec<usize>| order.len() == dims[0] && order.iter().all(|row| *row < dims[0]);
        let fits = order.as_ref().is_none_or(in_range) && tensor.rows() == dims[0];
        (fits && tensor.kind().can_dequantise()).then_some(Self {
            tensor,
            dims,
            order,
        })
    }

    /// The bytes of all rows, in the order of the matrix.
    fn in_order(&self) -> Cow<'_, [u8]> {
        let bytes = self.tensor.bytes();
        let Some(order) = &self.order else {
            return Cow::Borrowed(bytes);
        };
        let size = self.tensor.row_bytes();
        let rows = order.iter().flat_map(|row| &bytes[row * size..][..size]);
        Cow::Owned(rows.copied().collect())
    }

    /// The values of a tile of the tensor. What [`Self::new`] has seen to cannot fail here.
    fn tile(&self, rows: Range<usize>, columns: Range<usize>, values: &mut [f32]) {
        self.tensor
            .dequantise_tile(rows, columns, values)
            .expect("a format that is read, and whole blocks of it");
    }
}

impl PackedRows for Blocks {
    fn dims(&self) -> [usize; 2] {
        self.dims
    }

    fn block(&self) -> usize {
        self.tensor.kind().block_values() as usize
    }

    fn bytes(&self) -> usize {
        self.tensor.bytes().len()
    }

    fn format(&self) -> &'static str {
        self.tensor.kind().name()
    }

    fn unpack(&self, rows: Range<usize>, columns: Range<usize>, values: &mut [f32]) {
        let Some(order) = &self.order else {
            return self.tile(rows, columns, values);
        };
        let width = columns.len().max(1);
        for (row, values) in order[rows].iter().zip(values.chunks_exact_mut(width)) {
            self.tile(*row..*row + 1, columns.clone(), values);
        }
    }

    fn codes(&self) -> Option<Codes> {
        let bytes = self.in_order();
        let halves = || {
            let (halves, _) = bytes.as_chunks::<2>();
            halves
                .iter()
                .map(|half| u16::from_le_bytes(*half))
                .collect()
        };
        match self.tensor.kind() {
            GgmlType::BF16 => Some(Codes::Bf16(halves())),
            GgmlType::F16 => Some(Codes::F16(halves())),
            kind => {
                let lines = block::lines(kind, &bytes).ok()??;
                Some(Codes::Lines {
                    codes: lines.codes,
                    bits: lines.bits,
                    group: lines.group,
                    scales: lines.scales,
                    offsets: lines.offsets,
                })
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic is the failure report")]
mod tests {
    use super::*;

    #[test]
    fn codes_mean_the_values_in_the_order_of_the_matrix() {
        let values: Vec<f32> = (0..3 * 256_u16)
            .map(|at| f32::from(at % 97) / 61.0 - 0.7)
            .collect();
        let kinds = GgmlType::all().filter(|kind| kind.can_quantise() && *kind != GgmlType::F32);
        let mut seen = 0;
        for kind in kinds {
            let mut bytes = Vec::new();
            block::quantise(kind, &values, &mut bytes).unwrap();
            let tensor = PackedTensor::new(kind, &[3, 256], bytes.into()).unwrap();
            let blocks = Blocks::new(tensor, Some(vec![2, 0, 1])).unwrap();
            let mut expected = vec![0.0; 3 * 256];
            blocks.unpack(0..3, 0..256, &mut expected);
            let found: Vec<f32> = match blocks.codes().unwrap() {
                Codes::Bf16(bits) => {
                    let wide = bits.iter().map(|bits| u32::from(*bits) << 16);
                    wide.map(f32::from_bits).collect()
                }
                Codes::F16(bits) => {
                    let bytes: Vec<u8> = bits.iter().flat_map(|bits| bits.to_le_bytes()).collect();
                    let mut values = vec![0.0; bits.len()];
                    block::dequantise(kind, &bytes, &mut values).unwrap();
                    values
                }
                Codes::Lines {
                    codes,
                    group,
                    scales,
                    offsets,
                    ..
                } => {
                    let value = |(at, code): (usize, &u8)| {
                        scales[at / group] * f32::from(*code) + offsets[at / group]
                    };
                    codes.iter().enumerate().map(value).collect()
                }
                other @ Codes::Table { .. } => panic!("{kind}: {other:?}"),
            };
            for (found, expected) in found.iter().zip(&expected) {
                assert!(
                    (found - expected).abs() <= 2e-7,
                    "{kind}: {found}, {expected}"
                );
            }
            seen += 1;
        }
        assert_eq!(seen, 10);
    }
}
