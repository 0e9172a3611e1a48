//! Writing a GGUF file: metadata and tensors are declared, then their bytes are written one tensor after the other.

mod encode;
mod tensor;

use std::path::Path;

use indexmap::IndexMap;
use peft_format::file::{Staged, StagedWriter};

use crate::header::{ALIGNMENT_KEY, alignment, check_key, check_name, sized};
use crate::{FormatError, GgmlType, GgufError, Metadata, Part, TensorInfo, Value};
pub use tensor::TensorWriter;

/// A GGUF file of version 3 that is to be written.
#[derive(Clone, Debug, Default)]
pub struct GgufWriter {
    metadata: Metadata,
    tensors: IndexMap<String, TensorInfo>,
}

impl GgufWriter {
    /// A file without metadata and tensors.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The entries that were added.
    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Adds a metadata entry, in the type that the value has: llama.cpp takes counts as `u32` and most numbers as `f32`. The key
    /// `general.alignment` sets the alignment too, which is 32 otherwise.
    ///
    /// # Errors
    ///
    /// [`FormatError::DuplicateKey`], [`FormatError::NameLength`], [`FormatError::Alignment`].
    pub fn insert(&mut self, key: &str, value: impl Into<Value>) -> Result<(), FormatError> {
        let value = value.into();
        check_key(key, Part::Key(self.metadata.len() as u64))?;
        if key == ALIGNMENT_KEY {
            alignment(Some(&value))?;
        }
        if self.metadata.contains(key) {
            return Err(FormatError::DuplicateKey {
                key: key.to_owned(),
            });
        }
        self.metadata.insert(key.to_owned(), value);
        Ok(())
    }

    /// Declares the next tensor, with its shape in PyTorch's order, outermost dimension first.
    ///
    /// # Errors
    ///
    /// [`FormatError`] where llama.cpp could not read it: a name of no or more than 63 bytes or one that is there already, more than 4
    /// dimensions, no values, rows that are not whole blocks of the format, a size beyond 63 bits.
    pub fn declare(
        &mut self,
        name: &str,
        shape: &[u64],
        kind: GgmlType,
    ) -> Result<(), FormatError> {
        check_name(name, self.tensors.len() as u64)?;
        if self.tensors.contains_key(name) {
            return Err(FormatError::DuplicateTensor {
                name: name.to_owned(),
            });
        }
        // Its place depends on the alignment, and is known when the file is written.
        let info = sized(name.to_owned(), shape.to_owned(), kind)?;
        self.tensors.insert(name.to_owned(), info);
        Ok(())
    }

    /// Writes the file: `fill` is called for each tensor in the order of their declaration and writes its bytes, at once or in pieces. No
    /// more than a piece is in memory.
    ///
    /// The file appears under its name when it is whole and on the disk; until then, and where anything fails, a file that has the name
    /// stays as it was.
    ///
    /// # Errors
    ///
    /// What `fill` returns; [`GgufError::Written`] where it writes more or fewer bytes than the tensor has; [`GgufError::File`];
    /// [`GgufError::Format`] where the tensors together are larger than any file.
    pub fn write<E: From<GgufError>>(
        &self,
        path: &Path,
        mut fill: impl FnMut(&TensorInfo, &mut TensorWriter<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let alignment = alignment(self.metadata.get(ALIGNMENT_KEY));
        let format = |source| GgufError::Format {
            path: path.to_owned(),
            source,
        };
        let alignment = alignment.map_err(format)?;
        let placed = self.placed(alignment).map_err(format)?;
        let header = encode::header(&self.metadata, &placed);
        let staged = Staged::new(path, |out| -> Result<(), Failed<E>> {
            let mut padded = Padded {
                out,
                at: 0,
                alignment,
            };
            padded.write(&header)?;
            if !placed.is_empty() {
                padded.pad()?;
            }
            for info in &placed {
                let mut put = |bytes: &[u8]| padded.write(bytes);
                let mut tensor = TensorWriter::new(&mut put, path, info);
                fill(info, &mut tensor).map_err(Failed::Fill)?;
                tensor.finish()?;
                padded.pad()?;
            }
            Ok(())
        });
        staged
            .and_then(|staged| Ok(staged.commit()?))
            .map_err(Failed::into_inner)
    }

    /// The tensors at their places.
    fn placed(&self, alignment: u64) -> Result<Vec<TensorInfo>, FormatError> {
        let mut offset = 0_u64;
        let mut placed = Vec::new();
        for info in self.tensors.values() {
            placed.push(TensorInfo {
                offset,
                ..info.clone()
            });
            let end = offset
                .checked_add(info.bytes)
                .and_then(|end| end.checked_next_multiple_of(alignment));
            let end = end.filter(|end| i64::try_from(*end).is_ok());
            offset = end.ok_or_else(|| FormatError::TooLarge {
                name: info.name.clone(),
                shape: info.shape.clone(),
            })?;
        }
        Ok(placed)
    }
}

/// What went wrong while the file was written: here, or with whoever has the tensors.
enum Failed<E> {
    Here(GgufError),
    Fill(E),
}

impl<E> From<peft_format::file::FileError> for Failed<E> {
    fn from(error: peft_format::file::FileError) -> Self {
        Self::Here(error.into())
    }
}

impl<E> From<GgufError> for Failed<E> {
    fn from(error: GgufError) -> Self {
        Self::Here(error)
    }
}

impl<E: From<GgufError>> Failed<E> {
    fn into_inner(self) -> E {
        match self {
            Self::Here(error) => error.into(),
            Self::Fill(error) => error,
        }
    }
}

/// A file that knows how far it has been written.
struct Padded<'a, 'b> {
    out: &'a mut StagedWriter<'b>,
    at: u64,
    alignment: u64,
}

impl Padded<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), GgufError> {
        self.out.write(bytes)?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    /// Zeros up to the alignment.
    fn pad(&mut self) -> Result<(), GgufError> {
        const ZEROS: [u8; 4096] = [0; 4096];
        let mut left = self.at.next_multiple_of(self.alignment) - self.at;
        while left > 0 {
            let piece = left.min(ZEROS.len() as u64);
            self.write(&ZEROS[..piece as usize])?;
            left -= piece;
        }
        Ok(())
    }
}
