//! A safetensors file by its header: which tensors it holds, and single tensors read from their place in it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use safetensors::SafeTensorError;
use safetensors::tensor::{Metadata, TensorView};

use super::open::check_tensor_file;
use super::{FileError, HostTensor, StoredDtype, TensorProblem};

/// Bytes before the header: its length.
const LENGTH: u64 = 8;

/// A safetensors file of which only the header is in memory. The file is open during a read and not between two.
#[derive(Clone, Debug)]
pub struct TensorFile {
    path: PathBuf,
    /// Bytes before the first tensor.
    start: u64,
    metadata: Metadata,
}

impl TensorFile {
    /// Reads the header of a safetensors file and checks that it describes the file: every tensor has the bytes that its shape needs,
    /// and the last ends where the file ends, so that a truncated file is told without reading it.
    ///
    /// # Errors
    ///
    /// A missing or empty file, a Git LFS pointer, or [`FileError::NotSafetensors`].
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let (size, first) = check_tensor_file(path)?;
        let damaged = |source| FileError::NotSafetensors {
            path: path.to_owned(),
            size: usize::try_from(size).unwrap_or(usize::MAX),
            start: String::from_utf8_lossy(&first[..first.len().min(16)]).into_owned(),
            source,
        };
        let Some(length) = first.first_chunk().copied().map(u64::from_le_bytes) else {
            return Err(damaged(SafeTensorError::HeaderTooSmall));
        };
        if length > size.saturating_sub(LENGTH) {
            return Err(damaged(SafeTensorError::InvalidHeaderLength));
        }
        let mut file = File::open(path).map_err(FileError::io("open", path))?;
        file.seek(SeekFrom::Start(LENGTH))
            .map_err(FileError::io("read", path))?;
        let mut header = Vec::new();
        file.take(length)
            .read_to_end(&mut header)
            .map_err(FileError::io("read", path))?;
        let metadata: Metadata = serde_json::from_slice(&header)
            .map_err(|error| damaged(SafeTensorError::InvalidHeaderDeserialization(error)))?;
        let start = LENGTH + length;
        if start.checked_add(metadata.data_len() as u64) != Some(size) {
            return Err(damaged(SafeTensorError::MetadataIncompleteBuffer));
        }
        Ok(Self {
            path: path.to_owned(),
            start,
            metadata,
        })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Size of the file in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.start + self.metadata.data_len() as u64
    }

    /// Names of all tensors, in the order of the file.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.metadata.offset_keys()
    }

    /// Shape of a tensor.
    #[must_use]
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        Some(&self.metadata.info(name)?.shape)
    }

    /// The format of a tensor; `None` where there is none of that name.
    ///
    /// # Errors
    ///
    /// [`TensorProblem::Dtype`] for a format that is not read.
    pub fn stored(&self, name: &str) -> Option<Result<StoredDtype, TensorProblem>> {
        let dtype = self.metadata.info(name)?.dtype;
        Some(
            StoredDtype::from_file(dtype).ok_or_else(|| TensorProblem::Dtype {
                name: name.to_owned(),
                dtype: dtype.to_string(),
            }),
        )
    }

    /// Reads the tensors of these names, and nothing else of the file; names that the file lacks are skipped.
    ///
    /// # Errors
    ///
    /// [`FileError::Io`], also where the file has another size than when it was opened (another one has its name now), or
    /// [`FileError::BadTensors`].
    pub fn read<'a>(
        &self,
        names: impl IntoIterator<Item = &'a str>,
    ) -> Result<BTreeMap<String, HostTensor>, FileError> {
        let mut file = File::open(&self.path).map_err(FileError::io("open", &self.path))?;
        let size = (file.metadata()).map_err(FileError::io("read", &self.path))?;
        if size.len() != self.bytes() {
            let changed = io::Error::other("it has changed since it was opened; open it again");
            return Err(FileError::io("read", &self.path)(changed));
        }
        let mut tensors = BTreeMap::new();
        let mut problems = Vec::new();
        let mut bytes = Vec::new();
        for name in names {
            let Some(info) = self.metadata.info(name) else {
                continue;
            };
            let (from, to) = info.data_offsets;
            file.seek(SeekFrom::Start(self.start + from as u64))
                .map_err(FileError::io("read", &self.path))?;
            bytes.resize(to - from, 0);
            file.read_exact(&mut bytes)
                .map_err(FileError::io("read", &self.path))?;
            let view =
                TensorView::new(info.dtype, info.shape.clone(), &bytes).map_err(|source| {
                    FileError::Encode {
                        path: self.path.clone(),
                        source,
                    }
                })?;
            match HostTensor::decode(name, &view) {
                Ok(tensor) => drop(tensors.insert(name.to_owned(), tensor)),
                Err(problem) => problems.push(problem),
            }
        }
        FileError::refuse(&self.path, problems)?;
        Ok(tensors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::{read_tensors, write_tensors};

    fn written(folder: &Path) -> PathBuf {
        let path = folder.join("a.safetensors");
        let tensor = |shape: &[usize], first: f32| {
            let count: usize = shape.iter().product();
            let data = (0..count).map(|at| first + at as f32).collect();
            HostTensor::new("x", shape, data).unwrap()
        };
        let tensors = BTreeMap::from([
            ("a".to_owned(), tensor(&[2, 3], 0.5)),
            (
                "b".to_owned(),
                tensor(&[4], 7.0).with_stored(StoredDtype::Bf16),
            ),
            ("c".to_owned(), tensor(&[0, 3], 0.0)),
        ]);
        write_tensors(&path, &tensors).unwrap();
        path
    }

    #[test]
    fn single_tensors_are_those_of_the_whole_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path());
        let (file, all) = (
            TensorFile::open(&path).unwrap(),
            read_tensors(&path).unwrap(),
        );
        assert_eq!(file.bytes(), std::fs::metadata(&path).unwrap().len());
        for (name, tensor) in &all {
            assert_eq!(file.shape(name), Some(tensor.shape.as_slice()));
            assert_eq!(file.stored(name).unwrap().unwrap(), tensor.stored);
            let read = file.read([name.as_str(), "absent"]).unwrap();
            assert_eq!(read, BTreeMap::from([(name.clone(), tensor.clone())]));
        }
        assert_eq!(file.names().len(), all.len());
        assert_eq!(file.read(all.keys().map(String::as_str)).unwrap(), all);
    }

    #[test]
    fn a_file_that_was_replaced_is_not_read_at_the_old_places() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path());
        let file = TensorFile::open(&path).unwrap();
        let mut tensors = read_tensors(&path).unwrap();
        tensors.remove("a");
        write_tensors(&path, &tensors).unwrap();
        let error = file.read(["b"]).unwrap_err();
        assert!(matches!(error, FileError::Io { .. }), "{error}");
    }

    #[test]
    fn every_truncation_is_an_error_at_opening() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path());
        let bytes = std::fs::read(&path).unwrap();
        for length in 0..bytes.len() {
            std::fs::write(&path, &bytes[..length]).unwrap();
            let error = TensorFile::open(&path).unwrap_err();
            assert!(error.to_string().contains("a.safetensors"), "{error}");
        }
    }

    #[test]
    fn a_header_that_claims_more_than_the_file_has_allocates_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        std::fs::write(&path, [&u64::MAX.to_le_bytes()[..], b"{}"].concat()).unwrap();
        let error = TensorFile::open(&path).unwrap_err();
        assert!(matches!(error, FileError::NotSafetensors { .. }), "{error}");
    }
}
