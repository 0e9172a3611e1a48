//! The safetensors files of a model folder, opened once and read tensor by tensor.
//!
//! Headers are read when the folder is opened; the bytes of a tensor only when it is asked for, so there is never a
//! second copy of all weights in memory.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use peft_core::file::input::{CONFIG_LIMIT, read_plain_text};
use safetensors::tensor::{Dtype, Metadata};
use serde_json::Value;

use super::adapter_folder::refuse_adapter;
use super::dtype::FloatDtype;
use crate::error::{ModelError, WeightProblems};

/// Longest header accepted, as in the safetensors library.
const MAX_HEADER: u64 = 100_000_000;
/// Bytes that are decoded at a time, a multiple of every element's size.
const PIECE: usize = 1 << 20;
const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// Where one tensor lies.
#[derive(Debug, Clone)]
pub struct TensorEntry {
    file: usize,
    offset: u64,
    bytes: usize,
    dtype: Dtype,
    shape: Vec<usize>,
}

impl TensorEntry {
    /// Element type in the file.
    #[must_use]
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// Shape in the file.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Size in the file, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

/// All tensors of a model folder, by name.
#[derive(Debug)]
pub struct TensorArchive {
    dir: PathBuf,
    files: Vec<(PathBuf, File)>,
    entries: BTreeMap<String, TensorEntry>,
}

impl TensorArchive {
    /// Opens `model.safetensors`, or the shards that `model.safetensors.index.json` names.
    ///
    /// # Errors
    /// No weights, a damaged file, a shard name that leaves the folder, or a tensor that the index promises and no
    /// shard holds.
    pub fn open(dir: &Path) -> Result<Self, ModelError> {
        let mut archive = Self {
            dir: dir.to_path_buf(),
            files: Vec::new(),
            entries: BTreeMap::new(),
        };
        if dir.join(SINGLE).exists() {
            archive.add_file(&dir.join(SINGLE))?;
        } else if dir.join(INDEX).exists() {
            archive.add_shards(&dir.join(INDEX))?;
        } else {
            refuse_adapter(dir)?;
            return Err(ModelError::NoWeights {
                dir: dir.to_path_buf(),
                hint: hint_for(dir),
            });
        }
        Ok(archive)
    }

    /// The model folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Names and places of all tensors, sorted by name.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &TensorEntry)> {
        self.entries
            .iter()
            .map(|(name, entry)| (name.as_str(), entry))
    }

    /// Where a tensor lies.
    #[must_use]
    pub fn entry(&self, name: &str) -> Option<&TensorEntry> {
        self.entries.get(name)
    }

    /// The float type that holds most elements; F32 when there is none.
    #[must_use]
    pub fn main_dtype(&self) -> FloatDtype {
        let mut elements = BTreeMap::<FloatDtype, usize>::new();
        for entry in self.entries.values() {
            if let Some(dtype) = FloatDtype::from_file(entry.dtype) {
                *elements.entry(dtype).or_default() += entry.bytes / dtype.size();
            }
        }
        let most = elements.into_iter().max_by_key(|(_, count)| *count);
        most.map_or(FloatDtype::F32, |(dtype, _)| dtype)
    }

    /// Reads the bytes of one tensor from its file.
    ///
    /// # Errors
    /// [`ModelError::Io`].
    pub fn read(&self, entry: &TensorEntry) -> Result<Vec<u8>, ModelError> {
        let (path, file) = &self.files[entry.file];
        let mut file: &File = file;
        let mut bytes = vec![0; entry.bytes];
        file.seek(SeekFrom::Start(entry.offset))
            .and_then(|_| file.read_exact(&mut bytes))
            .map_err(ModelError::io(path, "reading a tensor"))?;
        Ok(bytes)
    }

    /// Reads one tensor as `f32`, a piece at a time: its bytes and its values are never in memory together.
    ///
    /// # Errors
    /// [`ModelError::Io`].
    pub fn read_f32(&self, entry: &TensorEntry, dtype: FloatDtype) -> Result<Vec<f32>, ModelError> {
        let (path, file) = &self.files[entry.file];
        let mut file: &File = file;
        let failed = || ModelError::io(path, "reading a tensor");
        file.seek(SeekFrom::Start(entry.offset)).map_err(failed())?;
        let mut values = Vec::with_capacity(entry.bytes / dtype.size());
        let mut piece = vec![0; PIECE.min(entry.bytes)];
        let mut left = entry.bytes;
        while left > 0 {
            let bytes = &mut piece[..PIECE.min(left)];
            file.read_exact(bytes).map_err(failed())?;
            values.extend(dtype.decode(bytes));
            left -= bytes.len();
        }
        Ok(values)
    }

    fn add_shards(&mut self, index: &Path) -> Result<(), ModelError> {
        let text =
            read_plain_text(index, CONFIG_LIMIT).map_err(ModelError::io(index, "reading"))?;
        let json: Value = serde_json::from_str(&text).map_err(|source| ModelError::Json {
            path: index.to_path_buf(),
            source,
        })?;
        let promised = weight_map(index, &json)?;
        let mut shards: Vec<&str> = promised.iter().map(|(_, shard)| *shard).collect();
        shards.sort_unstable();
        shards.dedup();
        for shard in shards {
            if !is_plain_file_name(shard) {
                return Err(ModelError::ShardName {
                    path: index.to_path_buf(),
                    shard: shard.to_owned(),
                });
            }
            self.add_file(&self.dir.join(shard))?;
        }
        let absent = |name: &&str| !self.entries.contains_key(*name);
        let missing: Vec<String> = promised
            .iter()
            .map(|(name, _)| *name)
            .filter(absent)
            .map(str::to_owned)
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let problems = WeightProblems {
            missing,
            ..WeightProblems::default()
        };
        Err(ModelError::Weights {
            dir: self.dir.clone(),
            problems: Box::new(problems),
        })
    }

    fn add_file(&mut self, path: &Path) -> Result<(), ModelError> {
        let mut file = File::open(path).map_err(ModelError::io(path, "opening"))?;
        let (metadata, data_start) = read_header(path, &mut file)?;
        let index = self.files.len();
        for (name, info) in metadata.tensors() {
            let (start, end) = info.data_offsets;
            let entry = TensorEntry {
                file: index,
                offset: data_start + start as u64,
                bytes: end - start,
                dtype: info.dtype,
                shape: info.shape.clone(),
            };
            if self.entries.insert(name.clone(), entry).is_some() {
                return Err(ModelError::DuplicateTensor {
                    path: path.to_path_buf(),
                    name,
                });
            }
        }
        self.files.push((path.to_path_buf(), file));
        Ok(())
    }
}

/// The header of a safetensors file and the position of the first data byte; checks the length of the file.
fn read_header(path: &Path, file: &mut File) -> Result<(Metadata, u64), ModelError> {
    let damaged = |reason: String| ModelError::Safetensors {
        path: path.to_path_buf(),
        reason,
    };
    let length = file
        .metadata()
        .map_err(ModelError::io(path, "reading the length of"))?
        .len();
    let mut size = [0; 8];
    if length < 8 {
        return Err(damaged(format!("{length} bytes are too few for a header")));
    }
    file.read_exact(&mut size)
        .map_err(ModelError::io(path, "reading the header of"))?;
    if size == *b"version " {
        return Err(damaged(
            "it is a Git LFS pointer, not the file itself; fetch it with `git lfs pull`".into(),
        ));
    }
    let size = u64::from_le_bytes(size);
    if size > MAX_HEADER.min(length - 8) {
        return Err(damaged(format!(
            "the header claims {size} bytes, the file has {length}"
        )));
    }
    let mut header = Vec::new();
    Read::take(&mut *file, size)
        .read_to_end(&mut header)
        .map_err(ModelError::io(path, "reading the header of"))?;
    let metadata: Metadata =
        serde_json::from_slice(&header).map_err(|error| damaged(format!("header: {error}")))?;
    let data_start = 8 + size;
    let expected = data_start + metadata.data_len() as u64;
    if expected != length {
        return Err(damaged(format!(
            "the header describes {expected} bytes, the file has {length}"
        )));
    }
    Ok((metadata, data_start))
}

/// Tensor name and shard name pairs of an index.
fn weight_map<'a>(index: &Path, json: &'a Value) -> Result<Vec<(&'a str, &'a str)>, ModelError> {
    let map = json.get("weight_map").and_then(Value::as_object);
    map.and_then(|map| {
        map.iter()
            .map(|(name, shard)| Some((name.as_str(), shard.as_str()?)))
            .collect()
    })
    .ok_or_else(|| ModelError::Field {
        path: index.to_path_buf(),
        field: "weight_map".into(),
        expected: "a map from tensor names to file names",
        found: "something else".into(),
    })
}

fn is_plain_file_name(name: &str) -> bool {
    let mut components = Path::new(name).components();
    let single = matches!(
        (components.next(), components.next()),
        (Some(Component::Normal(part)), None) if part == name
    );
    single && !name.contains(['\\', ':', '/'])
}

fn hint_for(dir: &Path) -> &'static str {
    if !dir.exists() {
        "; the folder does not exist"
    } else if dir.join("pytorch_model.bin").exists()
        || dir.join("pytorch_model.bin.index.json").exists()
    {
        "; it has pytorch_model.bin: convert it with `save_pretrained(.., safe_serialization=True)`"
    } else {
        ""
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hf::stream::{Planned, stage_safetensors};

    #[test]
    fn values_that_are_read_in_pieces_are_those_of_the_bytes() {
        let dir = tempfile::tempdir().unwrap();
        // Of every type more than one piece, and not whole pieces.
        let values: Vec<f32> = (0..PIECE as u32 / 2 + 3)
            .map(|at| (at % 251) as f32)
            .collect();
        let types = [FloatDtype::Bf16, FloatDtype::F32, FloatDtype::F64];
        let planned = types.map(|dtype| Planned {
            name: dtype.config_name().to_owned(),
            dtype: dtype.in_file(),
            shape: vec![values.len()],
        });
        let staged = stage_safetensors(&dir.path().join(SINGLE), planned.to_vec(), |planned| {
            let dtype = FloatDtype::from_file(planned.dtype).unwrap();
            Ok(dtype.encode(&values))
        });
        staged.unwrap().commit().unwrap();
        let archive = TensorArchive::open(dir.path()).unwrap();
        for dtype in types {
            let entry = archive.entry(dtype.config_name()).unwrap();
            assert!(entry.bytes() > PIECE && !entry.bytes().is_multiple_of(PIECE));
            assert_eq!(archive.read_f32(entry, dtype).unwrap(), values);
        }
    }
}
