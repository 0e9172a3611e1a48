//! A model or an adapter in one file or in several.

mod shards;

use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::file::no_tensor;
use crate::{GgufError, GgufFile, Metadata, MetadataError, PackedTensor, TensorInfo};
pub use shards::shard_name;

/// The key of a file's number from 0.
const NUMBER: &str = "split.no";
/// The key of the number of files.
const COUNT: &str = "split.count";
/// The key of the number of tensors in all files.
const TENSORS: &str = "split.tensors.count";

/// All files of a model, opened.
///
/// The metadata of the model are those of the first file; tensors are found by name, whichever file has them.
#[derive(Clone, Debug)]
pub struct GgufModel {
    files: Vec<GgufFile>,
    /// The file that has a tensor, by the tensor's name.
    places: HashMap<String, usize>,
}

impl GgufModel {
    /// Opens the model of which this is a file: where it is one of several (`NAME-00002-of-00003.gguf`), the others too, which must
    /// stand in the same folder and belong to it.
    ///
    /// # Errors
    ///
    /// As [`GgufFile::open`] for each file; [`GgufError::ShardName`], [`GgufError::MissingShards`] with every file that is missing,
    /// [`GgufError::Shard`] for a file of another model, [`GgufError::Metadata`].
    pub fn open(path: &Path) -> Result<Self, GgufError> {
        let file = GgufFile::open(path)?;
        let files = match split_count(&file)? {
            0 | 1 => vec![file],
            count => open_all(file, count)?,
        };
        let mut places = HashMap::new();
        for (number, file) in files.iter().enumerate() {
            for tensor in file.tensors() {
                if let Some(other) = places.insert(tensor.name().to_owned(), number) {
                    return Err(GgufError::Shard {
                        path: file.path().to_owned(),
                        what: "tensor",
                        expected: format!("in one file, `{}`,", tensor.name()),
                        found: format!("in {} too", files[other].path().display()),
                    });
                }
            }
        }
        let model = Self { files, places };
        model.check_tensor_count()?;
        Ok(model)
    }

    fn check_tensor_count(&self) -> Result<(), GgufError> {
        let first = self.first();
        if self.files.len() < 2 || !first.metadata().contains(TENSORS) {
            return Ok(());
        }
        let stated = entry(first, TENSORS)?;
        if stated == self.places.len() as u64 {
            return Ok(());
        }
        Err(GgufError::Shard {
            path: first.path().to_owned(),
            what: TENSORS,
            expected: format!("{} (the tensors of all files)", self.places.len()),
            found: stated.to_string(),
        })
    }

    /// There is always one.
    fn first(&self) -> &GgufFile {
        &self.files[0]
    }

    /// The first file, which has the metadata.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.first().path()
    }

    /// The files in order.
    #[must_use]
    pub fn files(&self) -> &[GgufFile] {
        &self.files
    }

    /// The metadata of the model.
    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        self.first().metadata()
    }

    /// The tensors in the order of the files.
    pub fn tensors(&self) -> impl Iterator<Item = &TensorInfo> {
        self.files.iter().flat_map(GgufFile::tensors)
    }

    /// Whether there is such a tensor.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.places.contains_key(name)
    }

    /// A tensor by its name.
    ///
    /// # Errors
    ///
    /// [`GgufError::NoTensor`].
    pub fn tensor(&self, name: &str) -> Result<&TensorInfo, GgufError> {
        self.file_of(name)?.tensor(name)
    }

    /// Reads a tensor, packed as it is.
    ///
    /// # Errors
    ///
    /// As [`GgufFile::read`].
    pub fn read(&self, name: &str) -> Result<PackedTensor, GgufError> {
        self.file_of(name)?.read(name)
    }

    /// Reads rows of a tensor, packed as they are, as a tensor `[rows, columns]`.
    ///
    /// # Errors
    ///
    /// As [`GgufFile::read_rows`].
    pub fn read_rows(&self, name: &str, rows: Range<u64>) -> Result<PackedTensor, GgufError> {
        self.file_of(name)?.read_rows(name, rows)
    }

    /// The values of a tensor, row after row.
    ///
    /// # Errors
    ///
    /// As [`GgufFile::values`].
    pub fn values(&self, name: &str) -> Result<Vec<f32>, GgufError> {
        self.file_of(name)?.values(name)
    }

    fn file_of(&self, name: &str) -> Result<&GgufFile, GgufError> {
        let number = self.places.get(name);
        let file = number.and_then(|number| self.files.get(*number));
        file.ok_or_else(|| no_tensor(self.first().path(), name, self.tensors()))
    }
}

/// An integer of a file's metadata.
fn entry(file: &GgufFile, key: &str) -> Result<u64, GgufError> {
    file.metadata()
        .u64(key)
        .map_err(|source: MetadataError| GgufError::Metadata {
            path: file.path().to_owned(),
            source,
        })
}

/// The number of files that a file states; 0 where it states none.
fn split_count(file: &GgufFile) -> Result<u64, GgufError> {
    match file.metadata().contains(COUNT) {
        true => entry(file, COUNT),
        false => Ok(0),
    }
}

/// Opens the other files of one of several.
fn open_all(file: GgufFile, count: u64) -> Result<Vec<GgufFile>, GgufError> {
    let number = entry(&file, NUMBER)?;
    let paths = shards::paths(file.path(), number.saturating_add(1), count)?;
    let mut files = Vec::new();
    for (at, path) in (0..).zip(paths) {
        let shard = match at == number {
            true => file.clone(),
            false => GgufFile::open(&path)?,
        };
        check(&shard, COUNT, count)?;
        check(&shard, NUMBER, at)?;
        files.push(shard);
    }
    Ok(files)
}

fn check(file: &GgufFile, what: &'static str, expected: u64) -> Result<(), GgufError> {
    let found = entry(file, what)?;
    if found == expected {
        return Ok(());
    }
    Err(GgufError::Shard {
        path: PathBuf::from(file.path()),
        what,
        expected: expected.to_string(),
        found: found.to_string(),
    })
}
