//! Writing the bytes of one tensor.

use std::fmt;
use std::path::Path;

use crate::block::quantise;
use crate::{GgufError, TensorInfo};

/// Takes the bytes of one tensor, which a [`GgufWriter`](crate::GgufWriter) asks for.
pub struct TensorWriter<'a> {
    put: &'a mut dyn FnMut(&[u8]) -> Result<(), GgufError>,
    path: &'a Path,
    info: &'a TensorInfo,
    written: u64,
    blocks: Vec<u8>,
}

impl<'a> TensorWriter<'a> {
    pub(super) fn new(
        put: &'a mut dyn FnMut(&[u8]) -> Result<(), GgufError>,
        path: &'a Path,
        info: &'a TensorInfo,
    ) -> Self {
        Self {
            put,
            path,
            info,
            written: 0,
            blocks: Vec::new(),
        }
    }

    /// Appends bytes in the format of the tensor.
    ///
    /// # Errors
    ///
    /// [`GgufError::Written`] for more bytes than the tensor has, and [`GgufError::File`].
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), GgufError> {
        self.written += bytes.len() as u64;
        if self.written > self.info.bytes() {
            return Err(self.wrong());
        }
        (self.put)(bytes)
    }

    /// Appends values, which are made into blocks of the tensor's format and fill whole ones.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write), and [`GgufError::Block`] for values that the format cannot hold, counted from the first of these.
    pub fn write_values(&mut self, values: &[f32]) -> Result<(), GgufError> {
        let mut blocks = std::mem::take(&mut self.blocks);
        blocks.clear();
        quantise(self.info.kind(), values, &mut blocks).map_err(|source| GgufError::Block {
            path: self.path.to_owned(),
            name: self.info.name().to_owned(),
            source,
        })?;
        self.write(&blocks)?;
        self.blocks = blocks;
        Ok(())
    }

    /// Fails where bytes are missing.
    pub(super) fn finish(self) -> Result<(), GgufError> {
        match self.written == self.info.bytes() {
            true => Ok(()),
            false => Err(self.wrong()),
        }
    }

    fn wrong(&self) -> GgufError {
        GgufError::Written {
            path: self.path.to_owned(),
            name: self.info.name().to_owned(),
            expected: self.info.bytes(),
            found: self.written,
        }
    }
}

impl fmt::Debug for TensorWriter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TensorWriter")
            .field("info", self.info)
            .field("written", &self.written)
            .finish_non_exhaustive()
    }
}
