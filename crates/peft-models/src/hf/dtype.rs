//! Floating point types of weight files, to and from `f32`.

use half::{bf16, f16};
use safetensors::tensor::Dtype;

/// The element types that weights are read from and written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FloatDtype {
    /// IEEE half precision.
    F16,
    /// Brain float: the upper half of an `f32`.
    Bf16,
    /// Single precision.
    F32,
    /// Double precision; rounded to `f32` in memory.
    F64,
}

impl FloatDtype {
    /// The type of a tensor in a safetensors file, if it is one of the four.
    #[must_use]
    pub fn from_file(dtype: Dtype) -> Option<Self> {
        match dtype {
            Dtype::F16 => Some(Self::F16),
            Dtype::BF16 => Some(Self::Bf16),
            Dtype::F32 => Some(Self::F32),
            Dtype::F64 => Some(Self::F64),
            _ => None,
        }
    }

    /// The type's tag in a safetensors file.
    #[must_use]
    pub fn in_file(self) -> Dtype {
        match self {
            Self::F16 => Dtype::F16,
            Self::Bf16 => Dtype::BF16,
            Self::F32 => Dtype::F32,
            Self::F64 => Dtype::F64,
        }
    }

    /// The name `transformers` uses in `config.json`, for example `bfloat16`.
    #[must_use]
    pub fn config_name(self) -> &'static str {
        match self {
            Self::F16 => "float16",
            Self::Bf16 => "bfloat16",
            Self::F32 => "float32",
            Self::F64 => "float64",
        }
    }

    /// Bytes per element.
    #[must_use]
    pub fn size(self) -> usize {
        match self {
            Self::F16 | Self::Bf16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    /// The first finite value that would become infinite in this type.
    #[must_use]
    pub fn first_overflow(self, values: &[f32]) -> Option<f32> {
        let overflows = |value: f32| match self {
            Self::F16 => f16::from_f32(value).is_infinite(),
            Self::Bf16 => bf16::from_f32(value).is_infinite(),
            Self::F32 | Self::F64 => false,
        };
        values
            .iter()
            .copied()
            .find(|value| value.is_finite() && overflows(*value))
    }

    /// Little-endian bytes to `f32`; a trailing partial element is left out.
    #[must_use]
    pub fn decode(self, bytes: &[u8]) -> Vec<f32> {
        match self {
            Self::F16 => elements(bytes)
                .map(|b| f16::from_le_bytes(b).to_f32())
                .collect(),
            Self::Bf16 => elements(bytes)
                .map(|b| bf16::from_le_bytes(b).to_f32())
                .collect(),
            Self::F32 => elements(bytes).map(f32::from_le_bytes).collect(),
            #[expect(
                clippy::cast_possible_truncation,
                reason = "weights are computed with in f32"
            )]
            Self::F64 => elements(bytes)
                .map(|b| f64::from_le_bytes(b) as f32)
                .collect(),
        }
    }

    /// `f32` to little-endian bytes, rounded to nearest even.
    #[must_use]
    pub fn encode(self, values: &[f32]) -> Vec<u8> {
        match self {
            Self::F16 => values
                .iter()
                .flat_map(|v| f16::from_f32(*v).to_le_bytes())
                .collect(),
            Self::Bf16 => values
                .iter()
                .flat_map(|v| bf16::from_f32(*v).to_le_bytes())
                .collect(),
            Self::F32 => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            Self::F64 => values
                .iter()
                .flat_map(|v| f64::from(*v).to_le_bytes())
                .collect(),
        }
    }
}

/// The slice in pieces of `N` bytes.
fn elements<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; N]> + '_ {
    let (pieces, _) = bytes.as_chunks::<N>();
    pieces.iter().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_every_type_can_hold_survive_encoding_and_decoding() {
        let values = [0.0, -1.5, 0.25, 96.0];
        for dtype in [
            FloatDtype::F16,
            FloatDtype::Bf16,
            FloatDtype::F32,
            FloatDtype::F64,
        ] {
            let bytes = dtype.encode(&values);
            assert_eq!(bytes.len(), values.len() * dtype.size());
            assert_eq!(dtype.decode(&bytes), values, "{dtype:?}");
            assert_eq!(FloatDtype::from_file(dtype.in_file()), Some(dtype));
        }
        assert_eq!(FloatDtype::from_file(Dtype::I64), None);
    }
}
