//! What the frozen weights of a base are kept in.

mod blocks;
mod form;
mod kept;
mod packing;

use std::fmt;
use std::str::FromStr;

use peft_gguf::GgmlType;
use peft_gguf::block::BlockError;
use peft_kernels::{Nf4, Nf4Error};
use serde::{Deserialize, Serialize};

pub(crate) use blocks::Blocks;
pub(crate) use form::Form;
pub use kept::{Contents, Kept};
pub(crate) use packing::Packing;

/// What the frozen weights of a base are kept in. Norms, biases and what trains are always f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Storage {
    /// 32 bits each, whatever the file has; what trains as a whole must be that.
    #[default]
    F32,
    /// As the file has them: bf16, f16 and the block formats of GGUF stay so, and are unpacked for each product. The values are the same.
    Stored,
    /// Rounded to a format, matrix by matrix as they are read; tables of embeddings and output layers to eight bits where the format has
    /// fewer, because every token passes through both. Matrices whose rows are not whole blocks stay as the file has them.
    Packed(PackFormat),
}

/// A format to which weights can be rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PackFormat {
    /// A block format of ggml.
    Ggml(GgmlType),
    /// The 4-bit NormalFloat of QLoRA (Dettmers et al., arXiv 2305.14314), see [`Nf4`].
    Nf4,
}

/// The formats that have a name here, by the name.
const FORMATS: [(&str, PackFormat); 11] = [
    ("nf4", PackFormat::Nf4),
    ("q4_0", PackFormat::Ggml(GgmlType::Q4_0)),
    ("q4_1", PackFormat::Ggml(GgmlType::Q4_1)),
    ("q4_k", PackFormat::Ggml(GgmlType::Q4_K)),
    ("q5_0", PackFormat::Ggml(GgmlType::Q5_0)),
    ("q5_1", PackFormat::Ggml(GgmlType::Q5_1)),
    ("q5_k", PackFormat::Ggml(GgmlType::Q5_K)),
    ("q6_k", PackFormat::Ggml(GgmlType::Q6_K)),
    ("q8_0", PackFormat::Ggml(GgmlType::Q8_0)),
    ("bf16", PackFormat::Ggml(GgmlType::BF16)),
    ("f16", PackFormat::Ggml(GgmlType::F16)),
];

impl PackFormat {
    /// Names of all formats.
    pub fn names() -> impl Iterator<Item = &'static str> {
        FORMATS.iter().map(|(name, _)| *name)
    }

    /// The format of tables and output layers where weights have this one.
    #[must_use]
    pub fn of_tables(self) -> Self {
        match self {
            Self::Ggml(GgmlType::BF16 | GgmlType::F16) => self,
            Self::Ggml(_) | Self::Nf4 => Self::Ggml(GgmlType::Q8_0),
        }
    }

    /// Values that are packed together; rows must be whole multiples.
    #[must_use]
    pub fn block(self) -> usize {
        match self {
            Self::Ggml(kind) => usize::try_from(kind.block_values()).unwrap_or(usize::MAX),
            Self::Nf4 => Nf4::BLOCK,
        }
    }

    /// Bytes of a matrix of so many values, rows of whole blocks.
    #[must_use]
    pub fn bytes(self, values: usize) -> usize {
        let of_block = match self {
            Self::Ggml(kind) => usize::try_from(kind.block_bytes()).unwrap_or(usize::MAX),
            Self::Nf4 => Nf4::BLOCK_BYTES,
        };
        values / self.block() * of_block
    }
}

impl fmt::Display for PackFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = FORMATS.iter().find(|(_, format)| format == self);
        match (named, self) {
            (Some((name, _)), _) => f.write_str(name),
            (None, Self::Ggml(kind)) => write!(f, "{}", kind.name().to_lowercase()),
            (None, Self::Nf4) => f.write_str("nf4"),
        }
    }
}

/// The name of 32 bits each.
const F32: &str = "f32";
/// The name of what files have.
const STORED: &str = "stored";

impl fmt::Display for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::F32 => f.write_str(F32),
            Self::Stored => f.write_str(STORED),
            Self::Packed(format) => format.fmt(f),
        }
    }
}

impl FromStr for Storage {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, UnknownFormat> {
        match name.to_lowercase().as_str() {
            F32 => Ok(Self::F32),
            STORED => Ok(Self::Stored),
            name => name.parse().map(Self::Packed),
        }
    }
}

impl TryFrom<String> for Storage {
    type Error = UnknownFormat;

    fn try_from(name: String) -> Result<Self, UnknownFormat> {
        name.parse()
    }
}

impl From<Storage> for String {
    fn from(storage: Storage) -> Self {
        storage.to_string()
    }
}

/// Why a matrix cannot be rounded to a format.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PackError {
    /// A block format of ggml refuses them.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// NF4 refuses them.
    #[error(transparent)]
    Nf4(#[from] Nf4Error),
}

/// A name that no format has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is no format of weights; expected one of {}, {F32} or {STORED}", PackFormat::names().collect::<Vec<_>>().join(", "))]
pub struct UnknownFormat {
    /// The name.
    pub found: String,
}

impl FromStr for PackFormat {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, UnknownFormat> {
        let lower = name.to_lowercase();
        let found = FORMATS.iter().find(|(known, _)| *known == lower);
        found
            .map(|(_, format)| *format)
            .ok_or_else(|| UnknownFormat {
                found: name.to_owned(),
            })
    }
}
