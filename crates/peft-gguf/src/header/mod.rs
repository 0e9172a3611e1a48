//! The part of a GGUF file before its tensors: version, metadata, and what each tensor is.

mod cursor;
mod entry;
mod tensor;

use std::io::Read;

use indexmap::IndexMap;
use peft_format::file::input::GGUF_ENTRIES_LIMIT;

use crate::foreign::START;
use crate::{Foreign, FormatError, Metadata, Part, TensorInfo, Value};
use cursor::{Bound, Cursor};
pub(crate) use entry::check_key;
pub(crate) use tensor::{check_name, sized};

/// How every GGUF file begins.
pub(crate) const MAGIC: [u8; 4] = *b"GGUF";
/// The version that is written.
pub(crate) const VERSION: u32 = 3;
/// The key of the alignment.
pub(crate) const ALIGNMENT_KEY: &str = "general.alignment";
/// The alignment of files that state none.
pub(crate) const ALIGNMENT: u64 = 32;

/// The header of a GGUF file, checked against the size of the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    version: u32,
    alignment: u64,
    metadata: Metadata,
    tensors: IndexMap<String, TensorInfo>,
    start: u64,
}

impl Header {
    /// Reads the header from the first byte of a file on, and nothing after it.
    ///
    /// Memory is taken for what the file has, never for what it claims. How large texts and arrays may be and how many entries and tensors
    /// there may be are limits that a variable raises ([`LIMITS`](peft_format::file::input::LIMITS)). Tensors that overlap are refused:
    /// all of them together would take more memory than the file has bytes.
    ///
    /// # Errors
    ///
    /// [`FormatError`] with the first thing that is wrong.
    pub fn read(mut reader: impl Read, size: u64) -> Result<Self, FormatError> {
        let mut start = Vec::new();
        let beginning = reader.by_ref().take(START as u64).read_to_end(&mut start);
        beginning.map_err(FormatError::Read)?;
        if !start.starts_with(&MAGIC) {
            return Err(FormatError::Foreign(Foreign::of(&start, size)));
        }
        let mut cursor = Cursor::new(start.as_slice().chain(reader), size);
        let version = version(&mut cursor)?;
        let entries = Bound::of(&GGUF_ENTRIES_LIMIT);
        let tensor_count = cursor.count(tensor::LEAST_BYTES, entries, "tensors", &Part::Start)?;
        let entry_count = cursor.count(
            entry::LEAST_BYTES,
            entries,
            "metadata entries",
            &Part::Start,
        )?;
        let mut metadata = Metadata::default();
        for number in 0..entry_count {
            let (key, value) = entry::read(&mut cursor, number)?;
            if metadata.contains(&key) {
                return Err(FormatError::DuplicateKey { key });
            }
            metadata.insert(key, value);
        }
        let alignment = alignment(metadata.get(ALIGNMENT_KEY))?;
        let mut tensors = IndexMap::new();
        for number in 0..tensor_count {
            let info = tensor::read(&mut cursor, number)?;
            if let Some(twice) = tensors.insert(info.name.clone(), info) {
                return Err(FormatError::DuplicateTensor { name: twice.name });
            }
        }
        let start = cursor.at().next_multiple_of(alignment);
        for info in tensors.values() {
            tensor::check_place(info, alignment, start, size)?;
        }
        tensor::check_apart(tensors.values())?;
        Ok(Self {
            version,
            alignment,
            metadata,
            tensors,
            start,
        })
    }

    /// The version of the format: 2 or 3, which differ in nothing that matters for a little-endian file.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Tensors begin at multiples of this number of bytes.
    #[must_use]
    pub fn alignment(&self) -> u64 {
        self.alignment
    }

    /// The metadata.
    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The tensors in the order of the file.
    pub fn tensors(&self) -> impl ExactSizeIterator<Item = &TensorInfo> {
        self.tensors.values()
    }

    /// A tensor by its name.
    #[must_use]
    pub fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        self.tensors.get(name)
    }

    /// Bytes before the data of the tensors.
    #[must_use]
    pub fn data_start(&self) -> u64 {
        self.start
    }
}

/// Reads magic and version.
fn version(cursor: &mut Cursor<impl Read>) -> Result<u32, FormatError> {
    cursor.bytes::<4>(&Part::Start)?;
    match cursor.u32(&Part::Start)? {
        found @ 2..=VERSION => Ok(found),
        // The version is a small number, whose upper bytes are zero.
        found if found & 0xffff == 0 && found != 0 => Err(FormatError::BigEndian),
        found => Err(FormatError::Version { found }),
    }
}

/// The alignment that the metadata states.
pub(crate) fn alignment(value: Option<&Value>) -> Result<u64, FormatError> {
    match value {
        None => Ok(ALIGNMENT),
        Some(Value::U32(alignment)) if alignment.is_power_of_two() => Ok((*alignment).into()),
        Some(other) => Err(FormatError::Alignment {
            found: other.to_string(),
        }),
    }
}
