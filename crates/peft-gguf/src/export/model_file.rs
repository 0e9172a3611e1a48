//! The file of a model: metadata, and the tensors by the names that they have in transformers.

use std::collections::BTreeMap;
use std::path::Path;

use super::config::{Described, describe};
use super::{ExportError, HfFiles, Kinds, file_type, tokenizer};
use crate::header::ALIGNMENT_KEY;
use crate::hf::{Architecture, HfTensors, Layout, names};
use crate::{GgmlType, GgufError, GgufWriter, TensorInfo};

/// The entries that say how a file's tensors are packed and spread, which are new with every file.
const OWN: [&str; 3] = [
    "general.file_type",
    "general.quantization_version",
    // A large one would be filled up with zeros behind each tensor.
    ALIGNMENT_KEY,
];
const SPLIT: &str = "split.";
/// What llama.cpp's block formats are at.
const QUANTISATION: u32 = 2;
/// What each rotary frequency is divided by.
const DIVISORS: &str = "rope_freqs.weight";

/// A file that is to be written.
#[derive(Debug)]
pub struct ModelFile {
    writer: GgufWriter,
    architecture: Architecture,
    heads: u64,
    kv_heads: u64,
    kinds: Kinds,
    /// Tensors of transformers by their names in the file.
    sources: BTreeMap<String, Placed>,
    /// Tensors of which transformers know nothing.
    computed: BTreeMap<String, Vec<f32>>,
}

/// A tensor of transformers, and how its values lie in the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Placed {
    /// Its name in transformers.
    pub name: String,
    /// What is between both orders.
    pub layout: Layout,
    /// Its shape in transformers.
    pub shape: Vec<u64>,
}

impl ModelFile {
    /// The file of a model folder, with matrices in the format.
    ///
    /// # Errors
    /// [`ExportError`] for whatever a GGUF file cannot say.
    pub fn of_folder(files: HfFiles<'_>, matrices: GgmlType) -> Result<Self, ExportError> {
        let mut writer = GgufWriter::new();
        let Described {
            architecture,
            heads,
            kv_heads,
            divisors,
            vocabulary,
        } = describe(files.config, &mut writer)?;
        tokenizer::describe(files, vocabulary, &mut writer)?;
        let mut file = Self::new(writer, architecture, (heads, kv_heads), matrices)?;
        if let Some(divisors) = divisors {
            file.compute(DIVISORS, divisors)?;
        }
        Ok(file)
    }

    /// A file with the metadata of another one, whose model it is with other values.
    ///
    /// # Errors
    /// [`ExportError::File`] where tensors that transformers do not have cannot be read.
    pub fn like(model: &HfTensors, matrices: GgmlType) -> Result<Self, ExportError> {
        let mut writer = GgufWriter::new();
        let base = model.model();
        for (key, value) in base.metadata().iter() {
            if !OWN.contains(&key) && !key.starts_with(SPLIT) {
                writer.insert(key, value.clone())?;
            }
        }
        let mut file = Self::new(writer, model.architecture(), model.heads(), matrices)?;
        for name in model.ignored() {
            file.compute(name, base.values(name)?)?;
        }
        Ok(file)
    }

    /// The architecture, by which tensors are called.
    #[must_use]
    pub fn architecture(&self) -> Architecture {
        self.architecture
    }

    /// A file without tensors, which says how those to come are packed.
    fn new(
        mut writer: GgufWriter,
        architecture: Architecture,
        (heads, kv_heads): (u64, u64),
        matrices: GgmlType,
    ) -> Result<Self, ExportError> {
        if let Some(number) = file_type(matrices) {
            writer.insert(OWN[0], number)?;
        }
        writer.insert(OWN[1], QUANTISATION)?;
        Ok(Self {
            writer,
            architecture,
            heads,
            kv_heads,
            kinds: Kinds { matrices },
            sources: BTreeMap::new(),
            computed: BTreeMap::new(),
        })
    }

    fn compute(&mut self, name: &str, values: Vec<f32>) -> Result<(), ExportError> {
        self.writer
            .declare(name, &[values.len() as u64], GgmlType::F32)?;
        self.computed.insert(name.to_owned(), values);
        Ok(())
    }

    /// Declares the tensors of the model, by their names and shapes in transformers.
    ///
    /// # Errors
    /// [`ExportError::Names`] with all that files of the architecture have no place for; [`ExportError::Vocabulary`];
    /// [`ExportError::Format`] for shapes that files cannot have.
    pub fn declare<'a>(
        &mut self,
        tensors: impl IntoIterator<Item = (&'a str, &'a [u64])>,
    ) -> Result<(), ExportError> {
        let mut unknown = Vec::new();
        for (name, shape) in tensors {
            let Some(in_file) = names::to_gguf(self.architecture, name) else {
                unknown.push(name.to_owned());
                continue;
            };
            let layout = Layout::of(self.architecture, &in_file, self.heads, self.kv_heads);
            let shape_in_file = layout.shape(shape);
            if in_file == "token_embd.weight" {
                self.check_vocabulary(shape_in_file.first().copied().unwrap_or(0))?;
            }
            let kind = self.kinds.of(&in_file, &shape_in_file);
            self.writer.declare(&in_file, &shape_in_file, kind)?;
            let placed = Placed {
                name: name.to_owned(),
                layout,
                shape: shape.to_vec(),
            };
            self.sources.insert(in_file, placed);
        }
        if unknown.is_empty() {
            return Ok(());
        }
        Err(ExportError::Names {
            architecture: self.architecture.name(),
            names: unknown,
        })
    }

    /// A file has a token for each row.
    fn check_vocabulary(&self, rows: u64) -> Result<(), ExportError> {
        let tokens = self.writer.metadata().texts("tokenizer.ggml.tokens");
        match tokens.map(crate::Strings::len) {
            Ok(tokens) if tokens as u64 != rows => Err(ExportError::Vocabulary { rows, tokens }),
            _ => Ok(()),
        }
    }

    /// Writes the file; `values` gives the values of each tensor as transformers have them.
    ///
    /// # Errors
    /// What `values` returns, and as [`GgufWriter::write`].
    pub fn write<E: From<GgufError> + From<ExportError>>(
        &self,
        path: &Path,
        mut values: impl FnMut(&str) -> Result<Vec<f32>, E>,
    ) -> Result<(), E> {
        self.writer.write(path, |info, tensor| -> Result<(), E> {
            if let Some(values) = self.computed.get(info.name()) {
                return Ok(tensor.write_values(values)?);
            }
            let Some(placed) = self.sources.get(info.name()) else {
                return Ok(());
            };
            let moved = placed.moved(values(&placed.name)?, info)?;
            Ok(tensor.write_values(&moved)?)
        })
    }
}

impl Placed {
    fn moved(&self, values: Vec<f32>, info: &TensorInfo) -> Result<Vec<f32>, ExportError> {
        let moved = self.layout.to_gguf(values, &self.shape);
        moved.map_err(|error| ExportError::Field {
            file: "the weights",
            field: self.name.clone(),
            expected: format!("a tensor that becomes {:?}", info.shape()),
            found: error.to_string(),
        })
    }
}
