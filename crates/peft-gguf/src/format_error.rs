//! What can be wrong with the content of a GGUF file.

use std::fmt;
use std::io;

use peft_format::file::input::Limit;

use crate::{Foreign, GgmlType};

/// A part of a file, for messages.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Part {
    /// The beginning: magic, version and counts.
    Start,
    /// The key of a metadata entry, by its number from 0.
    Key(u64),
    /// The value of a key.
    Value(String),
    /// The name of a tensor, by its number from 0.
    Name(u64),
    /// The description of a tensor.
    Tensor(String),
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start => f.write_str("the beginning"),
            Self::Key(number) => write!(f, "the key of metadata entry {number}"),
            Self::Value(key) => write!(f, "the value of `{key}`"),
            Self::Name(number) => write!(f, "the name of tensor {number}"),
            Self::Tensor(name) => write!(f, "the description of tensor `{name}`"),
        }
    }
}

/// Why the content of a file, or what is to become one, is not GGUF.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// Reading failed.
    #[error("cannot read it")]
    Read(#[source] io::Error),
    /// Another kind of file.
    #[error("it is not a GGUF file: {0}")]
    Foreign(Foreign),
    /// The byte order of other processors.
    #[error(
        "it is big-endian, only little-endian files are read: convert it with `gguf-convert-endian FILE little`"
    )]
    BigEndian,
    /// Another version.
    #[error("it is of GGUF version {found}, only 2 and 3 are read: {}", if *found == 1 { "convert it with llama.cpp of 2023, or download a newer file" } else { "it needs a newer reader" })]
    Version {
        /// The version of the file.
        found: u32,
    },
    /// The file ends too early.
    #[error(
        "it ends too early: {part} needs {needed} bytes at byte {at}, {left} are left; the download or the writer was interrupted"
    )]
    Truncated {
        /// What is cut.
        part: Part,
        /// Its place in the file.
        at: u64,
        /// Bytes that it needs there.
        needed: u64,
        /// Bytes of the file from there on.
        left: u64,
    },
    /// A number of things for which the file has no room, or that nobody needs.
    #[error(
        "{part} at byte {at}: {found} {what}, at most {most} can be there; {}",
        bound.map_or("the file is damaged".to_owned(), |bound| bound.way_out(bound.get()))
    )]
    TooMany {
        /// Where.
        part: Part,
        /// The place in the file.
        at: u64,
        /// What is counted.
        what: &'static str,
        /// The number in the file.
        found: u64,
        /// The largest number that is possible.
        most: u64,
        /// What sets that number, where the file has room for all of them.
        bound: Option<&'static Limit>,
    },
    /// A text that is no UTF-8.
    #[error("{part} at byte {at} is not UTF-8")]
    NotUtf8 {
        /// Which text.
        part: Part,
        /// Its place in the file.
        at: u64,
    },
    /// A value's type that does not exist.
    #[error("`{key}` has value type {found}, only 0 to 12 exist; the file is damaged")]
    ValueType {
        /// The key.
        key: String,
        /// The type in the file.
        found: u32,
    },
    /// An array of arrays.
    #[error("`{key}` is an array of arrays, which llama.cpp does not read either")]
    NestedArray {
        /// The key.
        key: String,
    },
    /// A yes or no that is neither.
    #[error("`{key}` is a bool of value {found}, only 0 and 1 are bools")]
    Bool {
        /// The key.
        key: String,
        /// The byte in the file.
        found: u8,
    },
    /// A name or key without letters, or one that is too long.
    #[error("{part} has {bytes} bytes, at least 1 and at most {most} are possible")]
    NameLength {
        /// Which name.
        part: Part,
        /// Its length.
        bytes: u64,
        /// The longest possible.
        most: u64,
    },
    /// A key that is there twice.
    #[error("the metadata has `{key}` twice")]
    DuplicateKey {
        /// The key.
        key: String,
    },
    /// A tensor that is there twice.
    #[error("there are two tensors `{name}`")]
    DuplicateTensor {
        /// The name.
        name: String,
    },
    /// An alignment that is none.
    #[error("`general.alignment` must be a power of two of type u32, found {found}")]
    Alignment {
        /// The type and value.
        found: String,
    },
    /// More dimensions than ggml has.
    #[error("`{name}` has {found} dimensions, ggml has at most 4")]
    Dimensions {
        /// The tensor.
        name: String,
        /// The number of its dimensions.
        found: u64,
    },
    /// A tensor without values.
    #[error("`{name}` has the shape {shape:?}, which holds no values")]
    NoValues {
        /// The tensor.
        name: String,
        /// Its shape, outermost dimension first.
        shape: Vec<u64>,
    },
    /// A tensor whose size is beyond 63 bits.
    #[error("`{name}` {shape:?} is larger than any file")]
    TooLarge {
        /// The tensor.
        name: String,
        /// Its shape, outermost dimension first.
        shape: Vec<u64>,
    },
    /// A format that does not exist.
    #[error(
        "`{name}` has tensor type {found}{}",
        removed.map_or(", which this version does not know: it needs a newer reader, or the file is damaged".to_owned(),
            |removed| format!(" ({removed}), which llama.cpp has given up: make or download the file again in another format"))
    )]
    TensorType {
        /// The tensor.
        name: String,
        /// The id in the file.
        found: u32,
        /// The name that the id once had.
        removed: Option<&'static str>,
    },
    /// Rows that are not whole blocks.
    #[error("`{name}` has {columns} values in a row, {kind} needs a multiple of {}", kind.block_values())]
    RowLength {
        /// The tensor.
        name: String,
        /// Its format.
        kind: GgmlType,
        /// Values of a row.
        columns: u64,
    },
    /// A tensor whose place does not follow the alignment.
    #[error(
        "`{name}` lies at byte {offset} of the data, which is no multiple of the alignment {alignment}"
    )]
    Misaligned {
        /// The tensor.
        name: String,
        /// Its place from the beginning of the data.
        offset: u64,
        /// The alignment.
        alignment: u64,
    },
    /// Two tensors in the same bytes.
    #[error(
        "`{name}` at byte {offset} of the data lies in the bytes of `{other}`; llama.cpp does not read such a file either: it is damaged"
    )]
    Overlap {
        /// The tensor that begins later.
        name: String,
        /// Its place from the beginning of the data.
        offset: u64,
        /// The tensor that begins before.
        other: String,
    },
    /// A tensor that the file does not hold whole.
    #[error(
        "`{name}` would be {bytes} bytes at byte {offset} of the data, which begins at byte {start}; the file has {size} bytes: the \
         download or the writer was interrupted"
    )]
    Outside {
        /// The tensor.
        name: String,
        /// Its place from the beginning of the data.
        offset: u64,
        /// Its size.
        bytes: u64,
        /// The beginning of the data.
        start: u64,
        /// The size of the file.
        size: u64,
    },
}
