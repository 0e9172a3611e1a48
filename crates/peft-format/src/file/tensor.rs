//! Tensors on the host, as files hold them.

use half::{bf16, f16};
use safetensors::tensor::TensorView;

use super::{StoredDtype, TensorProblem, integers};

/// A tensor on the host in Hugging Face orientation, row-major.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HostTensor {
    /// Dimensions; empty for a scalar.
    pub shape: Vec<usize>,
    /// Values; as many as the product of `shape`.
    pub data: Vec<f32>,
    /// The format in the file it came from, or is to be written in.
    pub stored: StoredDtype,
}

impl HostTensor {
    /// An F32 tensor. `name` is used in the error only.
    ///
    /// # Errors
    ///
    /// [`TensorProblem::Length`] if `data` has not as many values as `shape` says.
    pub fn new(
        name: &str,
        shape: impl Into<Vec<usize>>,
        data: Vec<f32>,
    ) -> Result<Self, TensorProblem> {
        let tensor = Self {
            shape: shape.into(),
            data,
            stored: StoredDtype::F32,
        };
        tensor.check_length(name)?;
        Ok(tensor)
    }

    /// The same tensor, to be written in another format.
    pub fn with_stored(mut self, stored: StoredDtype) -> Self {
        self.stored = stored;
        self
    }

    /// Checks that `data` fits `shape`, which its public fields cannot promise.
    pub(super) fn check_length(&self, name: &str) -> Result<(), TensorProblem> {
        let expected = self
            .shape
            .iter()
            .try_fold(1_usize, |product, &size| product.checked_mul(size));
        if expected == Some(self.data.len()) {
            return Ok(());
        }
        Err(TensorProblem::Length {
            name: name.to_owned(),
            shape: self.shape.clone(),
            expected,
            found: self.data.len(),
        })
    }

    /// Decodes a tensor of a file to `f32`.
    pub(super) fn decode(name: &str, view: &TensorView<'_>) -> Result<Self, TensorProblem> {
        let stored = StoredDtype::from_file(view.dtype()).ok_or_else(|| TensorProblem::Dtype {
            name: name.to_owned(),
            dtype: view.dtype().to_string(),
        })?;
        let bytes = view.data();
        let data = match stored {
            StoredDtype::F32 => decode_with(bytes, f32::from_le_bytes),
            StoredDtype::F16 => decode_with(bytes, |raw| f16::from_le_bytes(raw).to_f32()),
            StoredDtype::Bf16 => decode_with(bytes, |raw| bf16::from_le_bytes(raw).to_f32()),
            StoredDtype::F64 => decode_with(bytes, |raw| narrow(f64::from_le_bytes(raw))),
            integer => integers::decode(integer, bytes),
        };
        let tensor = Self {
            shape: view.shape().to_vec(),
            data,
            stored,
        };
        tensor.check_length(name)?;
        Ok(tensor)
    }

    /// Encodes the values little-endian in the format of [`StoredDtype`].
    pub(super) fn encode(&self, name: &str) -> Result<Vec<u8>, TensorProblem> {
        self.check_length(name)?;
        match self.stored {
            StoredDtype::F32 | StoredDtype::F64 => Ok(self
                .data
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect()),
            StoredDtype::F16 => {
                self.check_range(name, |value| f16::from_f32(value).is_infinite())?;
                Ok(self
                    .data
                    .iter()
                    .flat_map(|&value| f16::from_f32(value).to_le_bytes())
                    .collect())
            }
            StoredDtype::Bf16 => {
                self.check_range(name, |value| bf16::from_f32(value).is_infinite())?;
                Ok(self
                    .data
                    .iter()
                    .flat_map(|&value| bf16::from_f32(value).to_le_bytes())
                    .collect())
            }
            integer => {
                integers::encode(integer, &self.data).map_err(|index| self.lost(name, index))
            }
        }
    }

    fn lost(&self, name: &str, index: usize) -> TensorProblem {
        TensorProblem::Overflow {
            name: name.to_owned(),
            index,
            value: self.data[index].to_string(),
            dtype: self.stored.name(),
        }
    }

    fn check_range(
        &self,
        name: &str,
        overflows: impl Fn(f32) -> bool,
    ) -> Result<(), TensorProblem> {
        let lost = self
            .data
            .iter()
            .position(|&value| value.is_finite() && overflows(value));
        lost.map_or(Ok(()), |index| Err(self.lost(name, index)))
    }
}

fn decode_with<const N: usize>(bytes: &[u8], decode: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    let (values, _rest) = bytes.as_chunks::<N>();
    values.iter().map(|raw| decode(*raw)).collect()
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "rounding to the nearest f32 is what reading F64 means here"
)]
pub(super) fn narrow(value: f64) -> f32 {
    value as f32
}

#[cfg(test)]
mod tests {
    use safetensors::Dtype;

    use super::*;

    fn through(tensor: &HostTensor) -> HostTensor {
        let bytes = tensor.encode("x").unwrap();
        let view = TensorView::new(tensor.stored.written(), tensor.shape.clone(), &bytes).unwrap();
        HostTensor::decode("x", &view).unwrap()
    }

    #[test]
    fn every_format_comes_back_rounded_to_itself() {
        let values = vec![0.0, -1.5, 0.1, 65504.0, -0.0, 1e-7];
        let tensor = HostTensor::new("x", [2, 3], values.clone()).unwrap();
        assert_eq!(through(&tensor), tensor);
        let half = through(&tensor.clone().with_stored(StoredDtype::F16));
        let brain = through(&tensor.with_stored(StoredDtype::Bf16));
        for (index, value) in values.iter().enumerate() {
            assert_eq!(half.data[index], f16::from_f32(*value).to_f32());
            assert_eq!(brain.data[index], bf16::from_f32(*value).to_f32());
        }
    }

    #[test]
    fn doubles_are_rounded_to_singles_and_written_as_singles() {
        let bytes: Vec<u8> = [0.1_f64, -3.0]
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        let view = TensorView::new(Dtype::F64, vec![2], &bytes).unwrap();
        let tensor = HostTensor::decode("x", &view).unwrap();
        assert_eq!(
            (tensor.data.as_slice(), tensor.stored),
            ([0.1_f32, -3.0].as_slice(), StoredDtype::F64)
        );
        assert_eq!(through(&tensor).stored, StoredDtype::F32);
    }

    #[test]
    fn integers_are_kept_and_other_formats_refused_by_name() {
        let view = TensorView::new(Dtype::I64, vec![], &[7, 1, 0, 0, 0, 0, 0, 0]).unwrap();
        let tensor = HostTensor::decode("num_batches_tracked", &view).unwrap();
        assert_eq!(
            (&tensor.data[..], tensor.stored),
            (&[263.0][..], StoredDtype::I64)
        );
        assert_eq!(through(&tensor), tensor);
        let view = TensorView::new(Dtype::F8_E4M3, vec![1], &[0]).unwrap();
        let problem = HostTensor::decode("q.weight", &view).unwrap_err();
        assert_eq!(
            problem,
            TensorProblem::Dtype {
                name: "q.weight".into(),
                dtype: "F8_E4M3".into()
            }
        );
    }

    #[test]
    fn a_wrong_length_is_refused_and_a_huge_shape_does_not_overflow() {
        let problem = HostTensor::new("x", [2, 3], vec![0.0; 5]).unwrap_err();
        assert!(matches!(
            problem,
            TensorProblem::Length {
                expected: Some(6),
                found: 5,
                ..
            }
        ));
        let problem = HostTensor::new("x", [usize::MAX, 2], vec![]).unwrap_err();
        assert!(matches!(
            problem,
            TensorProblem::Length { expected: None, .. }
        ));
        assert!(HostTensor::new("x", [], vec![1.0]).is_ok());
        assert!(HostTensor::new("x", [0, 4], vec![]).is_ok());
    }

    #[test]
    fn a_value_too_large_for_half_precision_is_refused() {
        let tensor = HostTensor::new("x", [2], vec![1.0, 1e6])
            .unwrap()
            .with_stored(StoredDtype::F16);
        let problem = tensor.encode("x").unwrap_err();
        assert!(
            matches!(
                problem,
                TensorProblem::Overflow {
                    index: 1,
                    dtype: "F16",
                    ..
                }
            ),
            "{problem}"
        );
        let infinite = HostTensor::new("x", [1], vec![f32::INFINITY])
            .unwrap()
            .with_stored(StoredDtype::F16);
        assert_eq!(through(&infinite).data, [f32::INFINITY]);
    }
}
