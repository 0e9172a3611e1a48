//! Packed weights on the devices of CubeCL: their codes are sent there once and stay, and whoever needs values has them unpacked there.

mod kernels;

use std::sync::{Mutex, PoisonError};

use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, DType, Dispatch, backend_extension};
use burn::tensor::{Device, Int, Tensor, TensorData};
use burn_fusion::custom::TensorSpec;

use super::PackedRows;
use super::codes::Codes;
use crate::cube::{self, burn};

/// Where a weight has been sent.
#[derive(Debug, Default)]
pub(super) struct Sent(Mutex<Vec<(Device, OnDevice)>>);

/// A weight in a device's memory, without a graph.
#[derive(Debug, Clone)]
pub(crate) struct OnDevice {
    pub(crate) words: Tensor<1, Int>,
    pub(crate) lines: Tensor<1>,
    pub(crate) form: Form,
    /// As they are stored.
    pub(crate) dims: [usize; 2],
}

/// What a code becomes a value by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Meaning {
    Bf16,
    F16,
    Line,
    Table,
}

/// How codes lie in words, and what they mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Form {
    pub(crate) meaning: Meaning,
    pub(crate) bits: usize,
    pub(crate) group: usize,
}

/// What is unpacked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct What {
    pub(crate) form: Form,
    /// Of the values.
    pub(crate) dims: [usize; 2],
    /// Whether the rows are those of ids, and not all.
    pub(crate) by_ids: bool,
    pub(crate) dtype: DType,
}

impl OnDevice {
    fn new(codes: &Codes, dims: [usize; 2], device: &Device) -> Self {
        let (words, lines) = (codes.words(dims[1]), codes.lines());
        let meaning = match codes {
            Codes::Bf16(_) => Meaning::Bf16,
            Codes::F16(_) => Meaning::F16,
            Codes::Lines { .. } => Meaning::Line,
            Codes::Table { .. } => Meaning::Table,
        };
        let (word_count, line_count) = (words.len(), lines.len());
        let words = TensorData::new(words, [word_count]);
        Self {
            words: Tensor::from_data(words, (device, DType::I32)),
            lines: Tensor::from_data(TensorData::new(lines, [line_count]), (device, DType::F32)),
            form: Form {
                meaning,
                bits: codes.bits(),
                group: codes.group(),
            },
            dims,
        }
    }
}

impl Sent {
    /// The weight on a device of CubeCL, sent there where it is not yet; `None` on others, and where the format has no form for devices.
    pub(super) fn on(&self, device: &Device, rows: &dyn PackedRows) -> Option<OnDevice> {
        cube::device(device)?;
        let device = &device.clone().without_autodiff();
        let mut sent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, found)) = sent.iter().find(|(other, _)| other == device) {
            return Some(found.clone());
        }
        let made = OnDevice::new(&rows.codes()?, rows.dims(), device);
        sent.push((device.clone(), made.clone()));
        Some(made)
    }

    /// The values of all rows, or of those of ids, as they are stored; `None` as in [`Self::on`]. The row of an id that is none of the matrix is NaN.
    pub(super) fn values(
        &self,
        rows: &dyn PackedRows,
        ids: Option<&Tensor<1, Int>>,
        device: &Device,
        dtype: DType,
    ) -> Option<Tensor<2>> {
        let sent = self.on(device, rows)?;
        let what = What {
            form: sent.form,
            dims: [ids.map_or(sent.dims[0], |ids| ids.dims()[0]), sent.dims[1]],
            by_ids: ids.is_some(),
            dtype,
        };
        if what.dims.contains(&0) {
            return None;
        }
        // A tensor in the place of no ids; nothing reads it.
        let ids = ids.map_or_else(|| sent.words.clone(), |ids| ids.clone().without_autodiff());
        let values = Tensor::from_dispatch(Dispatch::unpack_codes(
            sent.words.into_dispatch(),
            sent.lines.into_dispatch(),
            ids.into_dispatch(),
            what,
        ));
        Some(match device.is_autodiff() {
            true => values.autodiff(),
            false => values,
        })
    }
}

#[backend_extension(Cube, Fusion)]
pub(crate) trait UnpackKernels: Backend {
    #[fusion(meta = |_words, _lines, _ids, what| TensorSpec::new(what.dims.into(), what.dtype))]
    fn unpack_codes(
        words: IntTensor<Self>,
        lines: FloatTensor<Self>,
        ids: IntTensor<Self>,
        what: What,
    ) -> FloatTensor<Self>;
}
