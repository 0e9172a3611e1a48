//! What can go wrong when a model folder is read, written or fed.

use std::path::PathBuf;

use peft_core::file::FileError;
use peft_gguf::GgufError;
use peft_gguf::export::ExportError;
use peft_gguf::hf::HfError;
use peft_gguf::tokenizer::TokenizerError;

use crate::packed::{PackError, PackFormat};

/// A tensor whose shape is not the one the architecture asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misshaped {
    /// Name of the tensor in the file.
    pub name: String,
    /// The shape the architecture asks for, Hugging Face orientation.
    pub expected: Vec<usize>,
    /// The shape in the file.
    pub found: Vec<usize>,
}

/// A tensor whose element type cannot be read as a weight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadableDtype {
    /// Name of the tensor in the file.
    pub name: String,
    /// The element type in the file.
    pub dtype: String,
}

/// Everything that does not fit between a weight file and an architecture, collected in one go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WeightProblems {
    /// Tensors the architecture needs and the file lacks.
    pub missing: Vec<String>,
    /// Tensors of the file that the architecture has no place for.
    pub unexpected: Vec<String>,
    /// Tensors of another shape.
    pub misshaped: Vec<Misshaped>,
    /// Tensors that are not F32, F16, BF16 or F64.
    pub unreadable: Vec<UnreadableDtype>,
}

impl WeightProblems {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty()
            && self.unexpected.is_empty()
            && self.misshaped.is_empty()
            && self.unreadable.is_empty()
    }
}

impl std::fmt::Display for WeightProblems {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for name in &self.missing {
            write!(f, "\n  missing: `{name}`")?;
        }
        for name in &self.unexpected {
            write!(f, "\n  unexpected: `{name}`")?;
        }
        for Misshaped {
            name,
            expected,
            found,
        } in &self.misshaped
        {
            write!(
                f,
                "\n  shape: `{name}`: expected {expected:?}, found {found:?}"
            )?;
        }
        for UnreadableDtype { name, dtype } in &self.unreadable {
            write!(
                f,
                "\n  type: `{name}`: expected F32, F16, BF16 or F64, found {dtype}"
            )?;
        }
        Ok(())
    }
}

/// An error of `peft-models`: what went wrong, where, what was expected and what was found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// A file could not be read or written.
    #[error("{}: {action}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was attempted.
        action: &'static str,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A file could not be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A JSON file does not parse.
    #[error("{}: not valid JSON: {source}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// A field of a JSON file is absent or of the wrong kind.
    #[error("{}: field `{field}`: expected {expected}, found {found}", path.display())]
    Field {
        /// The file.
        path: PathBuf,
        /// Name of the field.
        field: String,
        /// What is accepted.
        expected: &'static str,
        /// What is there.
        found: String,
    },
    /// The folder holds an adapter and no model.
    #[error(
        "{} is an adapter{}, not a model: give --model {} --adapter {}",
        dir.display(),
        base.as_ref().map_or(String::new(), |base| format!(" of {base}")),
        base.as_deref().unwrap_or("ITS_BASE"),
        dir.display()
    )]
    AdapterFolder {
        /// The folder.
        dir: PathBuf,
        /// The base that its configuration names.
        base: Option<String>,
    },
    /// The architecture is not among the supported ones.
    #[error("{}: model type `{model_type}` is not supported here; supported: {supported}", path.display())]
    UnsupportedModel {
        /// The configuration file.
        path: PathBuf,
        /// Its `model_type`.
        model_type: String,
        /// The types that are.
        supported: String,
    },
    /// The architecture is supported, one of its options is not.
    #[error("{}: option `{option}` = {value} is not supported; supported: {supported}", path.display())]
    UnsupportedOption {
        /// The configuration file.
        path: PathBuf,
        /// Name of the option.
        option: String,
        /// Its value.
        value: String,
        /// The values that are.
        supported: &'static str,
    },
    /// The folder holds no weights that can be read.
    #[error("{}: no model.safetensors and no model.safetensors.index.json{hint}", dir.display())]
    NoWeights {
        /// The model folder.
        dir: PathBuf,
        /// What is there instead and what to do, or empty.
        hint: &'static str,
    },
    /// A weight file is not a safetensors file, or is damaged.
    #[error("{}: not a readable safetensors file: {reason}", path.display())]
    Safetensors {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A GGUF file cannot be read, or not as a model.
    #[error(transparent)]
    Gguf(#[from] HfError),
    /// A model cannot be written as a GGUF file.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// A weight cannot be rounded to the format that was asked for.
    #[error("{}: `{name}` cannot be kept in {format}: {source}", dir.display())]
    Pack {
        /// The model folder.
        dir: PathBuf,
        /// The tensor.
        name: String,
        /// The format.
        format: PackFormat,
        /// What is wrong with the values.
        source: PackError,
    },
    /// The tokenizer in a GGUF file is of a kind that is not known, or damaged.
    #[error("{}: {source}", path.display())]
    GgufTokenizer {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: TokenizerError,
    },
    /// The index names a shard that is not a plain file name.
    #[error("{}: shard `{shard}` is not a plain file name in the same folder", path.display())]
    ShardName {
        /// The index file.
        path: PathBuf,
        /// The name it gives.
        shard: String,
    },
    /// The same tensor occurs twice, possibly under two spellings of its name.
    #[error("{}: tensor `{name}` occurs more than once", path.display())]
    DuplicateTensor {
        /// The file or folder.
        path: PathBuf,
        /// Name of the tensor.
        name: String,
    },
    /// The weights do not fit the architecture.
    #[error("{}: the weights do not fit the configuration:{problems}", dir.display())]
    Weights {
        /// The model folder.
        dir: PathBuf,
        /// Every tensor that does not fit.
        problems: Box<WeightProblems>,
    },
    /// A token batch cannot be built.
    #[error("batch row {row}: {problem}")]
    Batch {
        /// Index of the row.
        row: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A token id or a sequence is too large for the model.
    #[error("{what} {found} is out of range: this model accepts at most {limit}")]
    OutOfRange {
        /// Token id, token type or sequence length.
        what: &'static str,
        /// The largest value in the batch.
        found: usize,
        /// The largest value the model accepts.
        limit: usize,
    },
    /// A value does not fit into the element type that was asked for.
    #[error("tensor `{name}`: {value} is out of range for {dtype}; choose bfloat16 or float32")]
    Overflow {
        /// Name of the tensor.
        name: String,
        /// The first value that does not fit.
        value: f32,
        /// The element type.
        dtype: &'static str,
    },
    /// No next token can be chosen.
    #[error("prompt {row}: the model's scores of the next token are NaN or infinite")]
    Sampling {
        /// Index of the prompt.
        row: usize,
    },
    /// Reading and writing the same folder.
    #[error("{}: output folder and input folder are the same; choose another output folder", dir.display())]
    SameFolder {
        /// The folder.
        dir: PathBuf,
    },
    /// A repository of the hub cannot be had.
    #[error("hub repository `{id}`: {message}")]
    Hub {
        /// Its name.
        id: String,
        /// What is wrong, and what to do.
        message: String,
    },
}

impl ModelError {
    /// An [`ModelError::Io`] maker for `map_err`.
    pub(crate) fn io(
        path: impl Into<PathBuf>,
        action: &'static str,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io {
            path,
            action,
            source,
        }
    }
}

impl From<GgufError> for ModelError {
    fn from(error: GgufError) -> Self {
        Self::Gguf(error.into())
    }
}
