//! The formats of the numbers in a file.

use safetensors::Dtype;

/// The formats that adapter files use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum StoredDtype {
    /// 32-bit.
    #[default]
    F32,
    /// IEEE half precision.
    F16,
    /// Brain floating point.
    Bf16,
    /// 64-bit; read into `f32`, written back as F32.
    F64,
    /// Integers of 64 bits, as all integers read into `f32`.
    I64,
    /// Integers of 32 bits.
    I32,
    /// Integers of 16 bits.
    I16,
    /// Integers of 8 bits.
    I8,
    /// Integers of 8 bits without a sign.
    U8,
}

impl StoredDtype {
    /// The name used in safetensors headers.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
            Self::F64 => "F64",
            Self::I64 => "I64",
            Self::I32 => "I32",
            Self::I16 => "I16",
            Self::I8 => "I8",
            Self::U8 => "U8",
        }
    }

    /// Whether it is one of floating-point numbers, as everything is that trains.
    #[must_use]
    pub fn is_float(self) -> bool {
        matches!(self, Self::F32 | Self::F16 | Self::Bf16 | Self::F64)
    }

    /// Bytes of a value.
    pub(super) fn size(self) -> usize {
        match self {
            Self::F64 | Self::I64 => 8,
            Self::F32 | Self::I32 => 4,
            Self::F16 | Self::Bf16 | Self::I16 => 2,
            Self::I8 | Self::U8 => 1,
        }
    }

    pub(super) fn from_file(dtype: Dtype) -> Option<Self> {
        match dtype {
            Dtype::F32 => Some(Self::F32),
            Dtype::F16 => Some(Self::F16),
            Dtype::BF16 => Some(Self::Bf16),
            Dtype::F64 => Some(Self::F64),
            Dtype::I64 => Some(Self::I64),
            Dtype::I32 => Some(Self::I32),
            Dtype::I16 => Some(Self::I16),
            Dtype::I8 => Some(Self::I8),
            Dtype::U8 => Some(Self::U8),
            _ => None,
        }
    }

    /// The dtype that this one is written as.
    pub(super) fn written(self) -> Dtype {
        match self {
            Self::F32 | Self::F64 => Dtype::F32,
            Self::F16 => Dtype::F16,
            Self::Bf16 => Dtype::BF16,
            Self::I64 => Dtype::I64,
            Self::I32 => Dtype::I32,
            Self::I16 => Dtype::I16,
            Self::I8 => Dtype::I8,
            Self::U8 => Dtype::U8,
        }
    }
}
