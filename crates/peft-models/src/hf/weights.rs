//! From the tensors of a folder to the parameters of a model, collecting everything that does not fit.

mod linear;
mod matrix;
mod table;

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use burn::module::Param;
use burn::tensor::{Device, Tensor, TensorData};
use peft_core::{Layout, ParamNames};

use super::archive::{TensorArchive, TensorEntry};
use super::config::ModelConfig;
use super::dtype::FloatDtype;
use super::initial::{Initial, Start};
use super::spelling::{is_leftover, spellings};
use crate::error::{Misshaped, ModelError, UnreadableDtype, WeightProblems};
use crate::layers::{LayerNorm, RmsNorm};
use crate::packed::Kept;

/// What to do with a head in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadPolicy {
    /// Take it; report another shape: the file and its configuration disagree.
    Keep,
    /// Take it, and start afresh where it has another shape: the caller asked for other labels.
    Resize,
    /// Start afresh whatever there is: the outputs mean something else.
    Restart,
}

/// The outputs that a head is to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadLabels {
    /// Those of the configuration.
    OfConfig,
    /// So many: the head of the file where it has as many, else a fresh one.
    Count(usize),
    /// So many that mean something else than those of the file: a fresh head.
    Fresh(usize),
}

impl From<Option<usize>> for HeadLabels {
    fn from(count: Option<usize>) -> Self {
        count.map_or(Self::OfConfig, Self::Count)
    }
}

impl HeadLabels {
    /// How many outputs, and what becomes of the file's head.
    #[must_use]
    pub fn of(self, config: &ModelConfig) -> (usize, HeadPolicy) {
        match self {
            Self::OfConfig => (config.num_labels(), HeadPolicy::Keep),
            Self::Count(count) => (count, HeadPolicy::Resize),
            Self::Fresh(count) => (count, HeadPolicy::Restart),
        }
    }
}

/// What a finished [`WeightReader`] hands over.
#[derive(Debug, Clone)]
pub struct LoadReport {
    /// Every parameter's name and layout.
    pub names: ParamNames,
    /// Parameters that start afresh because no file holds them, sorted.
    pub fresh: Vec<String>,
    /// Tensors of the file that this model has no use for (buffers, other heads), sorted.
    pub ignored: Vec<String>,
}

/// Where values come from.
enum Located {
    /// They start afresh.
    Fresh(Vec<f32>),
    /// The file has them.
    File(TensorEntry, FloatDtype),
}

/// Hands out parameters by their Hugging Face names.
///
/// Names are found with and without the base prefix (`bert.`) and under the spellings of old checkpoints. A parameter
/// that does not fit becomes a single zero, and [`WeightReader::finish`] reports them all. Every parameter is created frozen.
#[derive(Debug)]
pub struct WeightReader {
    dir: PathBuf,
    archive: Option<TensorArchive>,
    prefix: &'static str,
    device: Device,
    initial: Initial,
    taken: HashSet<String>,
    names: ParamNames,
    fresh: Vec<String>,
    problems: WeightProblems,
    failure: Option<ModelError>,
    kept: Kept,
}

impl WeightReader {
    /// Reads from the weights of the folder `dir`; `prefix` is the base prefix without its dot.
    ///
    /// # Errors
    /// As [`TensorArchive::open`].
    pub fn open(
        dir: &Path,
        prefix: &'static str,
        std: f64,
        seed: u64,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let archive = TensorArchive::open(dir)?;
        let mut reader = Self::untrained(prefix, std, seed, device);
        reader.archive = Some(archive);
        reader.dir = dir.to_path_buf();
        Ok(reader)
    }

    /// Has no file: every parameter starts afresh, normal weights with standard deviation `std`.
    #[must_use]
    pub fn untrained(prefix: &'static str, std: f64, seed: u64, device: &Device) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a standard deviation needs no f64"
        )]
        let std = std as f32;
        Self {
            dir: PathBuf::new(),
            archive: None,
            prefix,
            device: device.clone(),
            initial: Initial { seed, std },
            taken: HashSet::new(),
            names: ParamNames::default(),
            fresh: Vec::new(),
            problems: WeightProblems::default(),
            failure: None,
            kept: Kept::default(),
        }
    }

    /// The same reader, which reads matrices so; heads are f32 all the same.
    #[must_use]
    pub fn keeping(mut self, kept: impl Into<Kept>) -> Self {
        self.kept = kept.into();
        self
    }

    /// Scale and shift of a layer norm of width `d`.
    pub fn layer_norm(&mut self, path: &str, d: usize, eps: f64) -> LayerNorm {
        let weight = self.param::<1>(&format!("{path}.weight"), [d], Start::Ones);
        let bias = self.param::<1>(&format!("{path}.bias"), [d], Start::Zeros);
        LayerNorm::new(weight, bias, eps)
    }

    /// A parameter of any rank that is laid out in memory as in the file.
    pub fn tensor<const D: usize>(&mut self, name: &str, shape: [usize; D]) -> Param<Tensor<D>> {
        self.param(name, shape, Start::Normal)
    }

    /// Scale of a norm without shift, of width `d`; the file holds it less `offset`, which is 0 or 1.
    pub fn rms_norm(&mut self, path: &str, d: usize, offset: f64, eps: f64) -> RmsNorm {
        let start = if offset == 0.0 {
            Start::Ones
        } else {
            Start::Zeros
        };
        let weight = self.param::<1>(&format!("{path}.weight"), [d], start);
        RmsNorm::new(weight, offset, eps)
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// One [`ModelError::Weights`] with every missing, unexpected, misshaped and unreadable tensor, or the first
    /// failure of the file system.
    pub fn finish(mut self) -> Result<LoadReport, ModelError> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        let mut ignored = Vec::new();
        if let Some(archive) = &self.archive {
            let left = archive
                .entries()
                .map(|(name, _)| name)
                .filter(|name| !self.taken.contains(*name));
            for name in left {
                if is_leftover(name, self.prefix) {
                    ignored.push(name.to_owned());
                } else {
                    self.problems.unexpected.push(name.to_owned());
                }
            }
        }
        if !self.problems.is_empty() {
            return Err(ModelError::Weights {
                dir: self.dir,
                problems: Box::new(self.problems),
            });
        }
        self.fresh.sort();
        self.names.set_body(self.prefix);
        Ok(LoadReport {
            names: self.names,
            fresh: self.fresh,
            ignored,
        })
    }

    fn param<const D: usize>(
        &mut self,
        name: &str,
        shape: [usize; D],
        start: Start,
    ) -> Param<Tensor<D>> {
        match self.values(name, &shape, start, None) {
            Some(values) => self.register(name, values, shape, Layout::AsIs),
            None => self.register(name, vec![0.0], [1; D], Layout::AsIs),
        }
    }

    fn register<const D: usize>(
        &mut self,
        name: &str,
        values: Vec<f32>,
        shape: [usize; D],
        layout: Layout,
    ) -> Param<Tensor<D>> {
        let id = self.names.insert(name, layout);
        let tensor = Tensor::from_data(TensorData::new(values, shape), &self.device);
        Param::initialized(id, tensor).set_require_grad(false)
    }

    /// The values called `name` in the file's orientation. `None`, with a note, when the file does not fit: then
    /// [`Self::finish`] will fail and the parameter is a single zero, because the size that the configuration claims
    /// may be any number.
    fn values(
        &mut self,
        name: &str,
        shape: &[usize],
        start: Start,
        head: Option<HeadPolicy>,
    ) -> Option<Vec<f32>> {
        match self.locate(name, shape, start, head)? {
            Located::Fresh(values) => Some(values),
            Located::File(entry, dtype) => {
                let values = self.archive.as_ref()?.read_f32(&entry, dtype);
                self.read(values)
            }
        }
    }

    /// What was read, or a note of the first failure.
    fn read<T>(&mut self, result: Result<T, ModelError>) -> Option<T> {
        match result {
            Ok(read) => Some(read),
            Err(error) => {
                self.failure.get_or_insert(error);
                None
            }
        }
    }

    /// Where the values called `name` are, or the values that they start with. `None`, with a note, when the file does not fit.
    fn locate(
        &mut self,
        name: &str,
        shape: &[usize],
        start: Start,
        head: Option<HeadPolicy>,
    ) -> Option<Located> {
        let Some(archive) = &self.archive else {
            return Some(Located::Fresh(self.start_afresh(name, start, shape)));
        };
        let found = spellings(name, self.prefix)
            .into_iter()
            .find_map(|spelling| {
                archive
                    .entry(&spelling)
                    .map(|entry| (spelling, entry.clone()))
            });
        let Some((spelling, entry)) = found else {
            if head.is_some() {
                return self.fresh_head(name, start, shape);
            }
            self.problems.missing.push(name.to_owned());
            return None;
        };
        self.taken.insert(spelling.clone());
        if head == Some(HeadPolicy::Restart) {
            return self.fresh_head(name, start, shape);
        }
        if entry.shape() != shape {
            if head == Some(HeadPolicy::Resize) {
                return self.fresh_head(name, start, shape);
            }
            self.problems.misshaped.push(Misshaped {
                name: spelling,
                expected: shape.to_vec(),
                found: entry.shape().to_vec(),
            });
            return None;
        }
        let Some(dtype) = FloatDtype::from_file(entry.dtype()) else {
            self.problems.unreadable.push(UnreadableDtype {
                name: spelling,
                dtype: entry.dtype().to_string(),
            });
            return None;
        };
        Some(Located::File(entry, dtype))
    }

    /// Heads are read last: when the rest fits, the size of a head is one that the file vouches for.
    fn fresh_head(&mut self, name: &str, start: Start, shape: &[usize]) -> Option<Located> {
        if self.problems.is_empty() {
            return Some(Located::Fresh(self.start_afresh(name, start, shape)));
        }
        None
    }

    fn start_afresh(&mut self, name: &str, start: Start, shape: &[usize]) -> Vec<f32> {
        self.fresh.push(name.to_owned());
        self.initial.draw(name, start, shape.iter().product())
    }
}
