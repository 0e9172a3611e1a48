//! One GGUF file: its header in memory, its tensors read from their places.

use std::fs::File;
use std::io;
use std::iter::repeat_n;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use peft_format::file::input::open_plain;

use crate::positioned::Positioned;
use crate::{FormatError, GgufError, Header, Metadata, PackedError, PackedTensor, TensorInfo};

/// A GGUF file of which only the header is in memory.
///
/// It stays open: where another file gets its name, this one is still read. Clones share it, and threads may read at once.
#[derive(Clone, Debug)]
pub struct GgufFile {
    path: PathBuf,
    file: Arc<Positioned>,
    header: Arc<Header>,
}

impl GgufFile {
    /// Opens a file and reads its header.
    ///
    /// # Errors
    ///
    /// [`GgufError::File`] for what is missing or no plain file, and [`GgufError::Format`].
    pub fn open(path: &Path) -> Result<Self, GgufError> {
        let mut file = open_plain(path).map_err(GgufError::io("open", path))?;
        let size = size(&file).map_err(GgufError::io("read", path))?;
        let header = Header::read(&mut file, size).map_err(|source| match source {
            FormatError::Read(source) => GgufError::io("read", path)(source),
            source => GgufError::Format {
                path: path.to_owned(),
                source,
            },
        })?;
        Ok(Self {
            path: path.to_owned(),
            file: Arc::new(Positioned::new(file)),
            header: Arc::new(header),
        })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Everything before the tensors.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The metadata.
    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        self.header.metadata()
    }

    /// The tensors in the order of the file.
    pub fn tensors(&self) -> impl ExactSizeIterator<Item = &TensorInfo> {
        self.header.tensors()
    }

    /// A tensor by its name.
    ///
    /// # Errors
    ///
    /// [`GgufError::NoTensor`].
    pub fn tensor(&self, name: &str) -> Result<&TensorInfo, GgufError> {
        self.header
            .tensor(name)
            .ok_or_else(|| no_tensor(&self.path, name, self.tensors()))
    }

    /// Reads a tensor, packed as it is.
    ///
    /// # Errors
    ///
    /// [`GgufError::NoTensor`], or [`GgufError::File`], also where the file has become shorter.
    pub fn read(&self, name: &str) -> Result<PackedTensor, GgufError> {
        let info = self.tensor(name)?;
        self.packed(info, info.shape(), 0, info.bytes())
    }

    /// Reads rows of a tensor, packed as they are, as a tensor `[rows, columns]`.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read), and [`GgufError::NoRows`].
    pub fn read_rows(&self, name: &str, rows: Range<u64>) -> Result<PackedTensor, GgufError> {
        let info = self.tensor(name)?;
        if rows.start > rows.end || rows.end > info.rows() {
            return Err(GgufError::NoRows {
                path: self.path.clone(),
                name: name.to_owned(),
                rows: info.rows(),
                asked: rows,
            });
        }
        let (count, row) = (rows.end - rows.start, info.row_bytes());
        self.packed(
            info,
            &[count, info.columns()],
            rows.start * row,
            count * row,
        )
    }

    fn packed(
        &self,
        info: &TensorInfo,
        shape: &[u64],
        skip: u64,
        bytes: u64,
    ) -> Result<PackedTensor, GgufError> {
        let failed = GgufError::io("read", &self.path);
        let Ok(length) = usize::try_from(bytes) else {
            return Err(failed(io::ErrorKind::OutOfMemory.into()));
        };
        let mut bytes: Arc<[u8]> = repeat_n(0, length).collect();
        let place = self.header.data_start() + info.offset + skip;
        let read = self.file.read(Arc::make_mut(&mut bytes), place);
        read.map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => failed(io::Error::new(
                error.kind(),
                "it has become shorter since it was opened",
            )),
            _ => failed(error),
        })?;
        PackedTensor::new(info.kind(), shape, bytes).map_err(|error| {
            let source = io::Error::new(io::ErrorKind::InvalidData, error);
            GgufError::io("read", &self.path)(source)
        })
    }

    /// The values of a tensor, row after row.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read), and [`GgufError::Block`] for a format that is not read.
    pub fn values(&self, name: &str) -> Result<Vec<f32>, GgufError> {
        self.read(name)?.values().map_err(|error| match error {
            PackedError::Block(source) => GgufError::Block {
                path: self.path.clone(),
                name: name.to_owned(),
                source,
            },
            other => {
                GgufError::io("read", &self.path)(io::Error::new(io::ErrorKind::InvalidData, other))
            }
        })
    }
}

fn size(file: &File) -> io::Result<u64> {
    Ok(file.metadata()?.len())
}

/// The error for a name that is not there, with the one that is most like it.
pub(crate) fn no_tensor<'a>(
    path: &Path,
    name: &str,
    tensors: impl Iterator<Item = &'a TensorInfo>,
) -> GgufError {
    let near = crate::near::near(name, tensors.map(TensorInfo::name));
    GgufError::NoTensor {
        path: path.to_owned(),
        name: name.to_owned(),
        near,
    }
}
