//! Errors of reading and writing adapter folders.

use std::fmt;
use std::io;
use std::path::PathBuf;

use safetensors::SafeTensorError;

/// One config field that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldProblem {
    /// Name of the field.
    pub field: &'static str,
    /// What the field may hold.
    pub expected: &'static str,
    /// What the file holds, as JSON, shortened.
    pub found: String,
}

impl fmt::Display for FieldProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` must be {}, found {}",
            self.field, self.expected, self.found
        )
    }
}

/// One tensor that cannot be read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TensorProblem {
    /// A dtype other than F64, F32, F16 and BF16.
    #[error("`{name}` has dtype {dtype}; F64, F32, F16 and BF16 can be read")]
    Dtype {
        /// Tensor name.
        name: String,
        /// The dtype in the file.
        dtype: String,
    },
    /// The number of values is not the product of the shape.
    #[error("`{name}` has {found} values, its shape {shape:?} needs {}", expected.map_or("too many".to_owned(), |n| n.to_string()))]
    Length {
        /// Tensor name.
        name: String,
        /// The declared shape.
        shape: Vec<usize>,
        /// Product of the shape; `None` if it overflows.
        expected: Option<usize>,
        /// Values present.
        found: usize,
    },
    /// A finite value that the dtype of the file cannot hold.
    #[error("`{name}`: value {index} is {value}, too large for {dtype}; store the tensor as F32")]
    Overflow {
        /// Tensor name.
        name: String,
        /// Position of the value in row-major order.
        index: usize,
        /// The value, printed.
        value: String,
        /// The dtype it was to be stored as.
        dtype: &'static str,
    },
}

/// NaN and infinite values of one tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NonFinite {
    /// Tensor name.
    pub name: String,
    /// Number of NaN values.
    pub nan: usize,
    /// Number of infinite values.
    pub infinite: usize,
    /// Position of the first of them in row-major order.
    pub first: usize,
}

impl fmt::Display for NonFinite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            nan,
            infinite,
            first,
        } = self;
        write!(
            f,
            "`{name}`: {nan} NaN, {infinite} infinite, first at {first}"
        )
    }
}

/// Why an adapter folder could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The operating system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The reason.
        #[source]
        source: io::Error,
    },
    /// A required file is absent.
    #[error("{} does not exist: {hint}", path.display())]
    Missing {
        /// The absent file.
        path: PathBuf,
        /// What belongs there.
        hint: &'static str,
    },
    /// The config is not JSON.
    #[error("{} is not valid JSON", path.display())]
    Json {
        /// The config file.
        path: PathBuf,
        /// Where the JSON breaks.
        #[source]
        source: serde_json::Error,
    },
    /// Config fields of the wrong type.
    #[error("{}: {}", path.display(), join(problems))]
    BadConfig {
        /// The config file.
        path: PathBuf,
        /// Every unreadable field.
        problems: Vec<FieldProblem>,
    },
    /// The tensors are pickled.
    #[error(
        "{} is a pickle, which is not read because a pickle can run code. Convert it in Python: \
         from safetensors.torch import save_file; import torch; save_file({{k: v.contiguous() for k, v in \
         torch.load(\"adapter_model.bin\", map_location=\"cpu\", weights_only=True).items()}}, \
         \"adapter_model.safetensors\", metadata={{\"format\": \"pt\"}})", path.display()
    )]
    Pickle {
        /// The pickle.
        path: PathBuf,
    },
    /// The tensor file has no bytes.
    #[error("{} is empty: the download or the writer was interrupted", path.display())]
    Empty {
        /// The tensor file.
        path: PathBuf,
    },
    /// The tensor file is a Git LFS pointer.
    #[error(
        "{} is a Git LFS pointer{}, not the tensors: run `git lfs pull` in the repository, or download the file itself",
        path.display(), size.map_or(String::new(), |size| format!(" to {size} bytes"))
    )]
    LfsPointer {
        /// The tensor file.
        path: PathBuf,
        /// Size of the real file in bytes, as the pointer says.
        size: Option<u64>,
    },
    /// The tensor file is no safetensors file, or a damaged one.
    #[error("{} ({size} bytes, starting {start:?}) is not a valid safetensors file: download or write it again", path.display())]
    NotSafetensors {
        /// The tensor file.
        path: PathBuf,
        /// Its size in bytes.
        size: usize,
        /// Its first bytes as text.
        start: String,
        /// What is wrong with the header.
        #[source]
        source: SafeTensorError,
    },
    /// Tensors that cannot be read or written.
    #[error("{}: {}", path.display(), join(problems))]
    BadTensors {
        /// The tensor file.
        path: PathBuf,
        /// Every bad tensor.
        problems: Vec<TensorProblem>,
    },
    /// Tensor keys that name nothing, or the same tensor twice.
    #[error("bad tensor keys: {}", problems.join("; "))]
    BadKeys {
        /// Every bad key.
        problems: Vec<String>,
    },
    /// The tensors could not be encoded.
    #[error("cannot encode {}", path.display())]
    Encode {
        /// The tensor file.
        path: PathBuf,
        /// What the encoder says.
        #[source]
        source: SafeTensorError,
    },
    /// NaN or infinite values.
    #[error("values that are not finite: {}", join(tensors))]
    NonFinite {
        /// Every tensor with such values.
        tensors: Vec<NonFinite>,
    },
    /// The output folder holds something already.
    #[error("{} exists already: choose another folder or allow overwriting", path.display())]
    Exists {
        /// The folder.
        path: PathBuf,
    },
}

impl FileError {
    pub(super) fn io(
        action: &'static str,
        path: &std::path::Path,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }
}

fn join<T: fmt::Display>(items: &[T]) -> String {
    items
        .iter()
        .map(T::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}
