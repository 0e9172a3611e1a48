//! The tensors of a model folder, of safetensors files or a GGUF file, opened once and read tensor by tensor.
//!
//! Headers are read when the folder is opened; the bytes of a tensor only when it is asked for, so there is never a
//! second copy of all weights in memory.

mod gguf;
mod header;
mod index;
mod rows;
mod within;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use peft_core::file::input::CONFIG_LIMIT;
use peft_gguf::hf::HfTensors;
use safetensors::tensor::Dtype;
use serde_json::Value;

use super::adapter_folder::refuse_adapter;
use super::dtype::FloatDtype;
use super::json::read_json;
use crate::error::{ModelError, WeightProblems};
use gguf::GgufWeights;
use header::read_header;
use index::{is_plain_file_name, weight_map};
pub(crate) use rows::Rows;

/// Bytes that are decoded at a time, a multiple of every element's size.
const PIECE: usize = 1 << 20;
const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// Where one tensor lies.
#[derive(Debug, Clone)]
pub struct TensorEntry {
    place: Place,
    bytes: usize,
    dtype: Dtype,
    shape: Vec<usize>,
}

/// Where the values of a tensor are.
#[derive(Debug, Clone)]
enum Place {
    /// Bytes of a safetensors file.
    File { file: usize, offset: u64 },
    /// The GGUF file, under the name that the tensor has here.
    Gguf(String),
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
    gguf: Option<GgufWeights>,
    entries: BTreeMap<String, TensorEntry>,
    /// Whether files say the names of a language model inside another.
    within: bool,
}

impl TensorArchive {
    /// Opens `model.safetensors`, the shards that `model.safetensors.index.json` names, or a GGUF file, whose tensors are those of
    /// transformers' model, unpacked to F32.
    ///
    /// # Errors
    /// No weights, a damaged file, a shard name that leaves the folder, or a tensor that the index promises and no
    /// shard holds.
    pub fn open(dir: &Path) -> Result<Self, ModelError> {
        let mut archive = Self {
            dir: dir.to_path_buf(),
            files: Vec::new(),
            gguf: None,
            entries: BTreeMap::new(),
            within: false,
        };
        if dir.join(SINGLE).exists() {
            archive.add_file(&dir.join(SINGLE))?;
        } else if dir.join(INDEX).exists() {
            archive.add_shards(&dir.join(INDEX))?;
        } else if let Some(path) = GgufWeights::file_in(dir) {
            let weights = GgufWeights::open(&path)?;
            archive.entries = weights.entries();
            archive.gguf = Some(weights);
        } else {
            refuse_adapter(dir)?;
            return Err(ModelError::NoWeights {
                dir: dir.to_path_buf(),
                hint: hint_for(dir),
            });
        }
        (archive.within, archive.entries) = within::named(archive.entries);
        Ok(archive)
    }

    /// What the files call a tensor.
    pub(super) fn stored_name(&self, name: &str) -> String {
        match self.within {
            true => within::in_file(name),
            false => name.to_owned(),
        }
    }

    /// The model folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The GGUF file of the folder, where it has its weights in one.
    pub(crate) fn gguf(&self) -> Option<&HfTensors> {
        self.gguf.as_ref().map(GgufWeights::tensors)
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

    /// Reads the bytes of one tensor.
    ///
    /// # Errors
    /// [`ModelError::Io`], [`ModelError::Gguf`].
    pub fn read(&self, entry: &TensorEntry) -> Result<Vec<u8>, ModelError> {
        match &entry.place {
            Place::File { file, offset } => {
                let mut bytes = vec![0; entry.bytes];
                self.fill(*file, *offset, &mut bytes)?;
                Ok(bytes)
            }
            Place::Gguf(name) => Ok(FloatDtype::F32.encode(&self.unpacked(name)?)),
        }
    }

    /// Fills `bytes` with what a file has from `offset` on.
    fn fill(&self, file: usize, offset: u64, bytes: &mut [u8]) -> Result<(), ModelError> {
        let (path, file) = &self.files[file];
        let mut file: &File = file;
        file.seek(SeekFrom::Start(offset))
            .and_then(|_| file.read_exact(bytes))
            .map_err(ModelError::io(path, "reading a tensor"))
    }

    /// Reads one tensor as `f32`, a piece at a time: its bytes and its values are never in memory together.
    ///
    /// # Errors
    /// [`ModelError::Io`], [`ModelError::Gguf`].
    pub fn read_f32(&self, entry: &TensorEntry, dtype: FloatDtype) -> Result<Vec<f32>, ModelError> {
        match &entry.place {
            Place::File { file, offset } => self.in_pieces(*file, *offset, entry.bytes, dtype),
            Place::Gguf(name) => self.unpacked(name),
        }
    }

    fn in_pieces(
        &self,
        file: usize,
        offset: u64,
        bytes: usize,
        dtype: FloatDtype,
    ) -> Result<Vec<f32>, ModelError> {
        let mut values = Vec::with_capacity(bytes / dtype.size());
        self.each_piece(file, offset, bytes, |bytes| {
            values.extend(dtype.decode(bytes));
            Ok(())
        })?;
        Ok(values)
    }

    /// Bytes of a file, a piece at a time.
    fn each_piece(
        &self,
        file: usize,
        offset: u64,
        bytes: usize,
        mut each: impl FnMut(&[u8]) -> Result<(), ModelError>,
    ) -> Result<(), ModelError> {
        let (path, file) = &self.files[file];
        let mut file: &File = file;
        let failed = || ModelError::io(path, "reading a tensor");
        file.seek(SeekFrom::Start(offset)).map_err(failed())?;
        let mut piece = vec![0; PIECE.min(bytes)];
        let mut left = bytes;
        while left > 0 {
            let bytes = &mut piece[..PIECE.min(left)];
            file.read_exact(bytes).map_err(failed())?;
            each(bytes)?;
            left -= bytes.len();
        }
        Ok(())
    }

    /// The values of a tensor of the GGUF file.
    fn unpacked(&self, name: &str) -> Result<Vec<f32>, ModelError> {
        self.gguf
            .as_ref()
            .map_or_else(|| Ok(Vec::new()), |weights| weights.values(name))
    }

    fn add_shards(&mut self, index: &Path) -> Result<(), ModelError> {
        let json: Value = read_json(index, CONFIG_LIMIT)?;
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
                place: Place::File {
                    file: index,
                    offset: data_start + start as u64,
                },
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
