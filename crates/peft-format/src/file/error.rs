//! Errors of reading and writing adapter folders.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use safetensors::SafeTensorError;

use super::CONFIG_FILE;
use super::foreign::Foreign;
use super::input::Limit;
use super::loralib::Loralib;
use crate::problems::joined;

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
    /// A dtype that is not read.
    #[error("`{name}` has dtype {dtype}; F64, F32, F16, BF16 and integers can be read")]
    Dtype {
        /// Tensor name.
        name: String,
        /// The dtype in the file.
        dtype: String,
    },
    /// A weight, bias or factor that is stored in integers.
    #[error(
        "`{name}` is stored as {dtype}: quantised values are not read; save the adapter in floating-point numbers"
    )]
    Quantised {
        /// Tensor name.
        name: String,
        /// The dtype in the file.
        dtype: &'static str,
    },
    /// `lora_B` of a merged linear layer, as PEFT 0.1 and 0.2 and loralib trained it.
    #[error(
        "`{name}` {shape:?} is the lora_B of a merged linear layer (`enable_lora`), which adapts parts of its output \
         separately: merge the adapter with the library that made it and use the merged model"
    )]
    MergedLinear {
        /// Tensor name.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
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
    #[error("{}: {}", path.display(), joined(problems))]
    BadConfig {
        /// The config file.
        path: PathBuf,
        /// Every unreadable field.
        problems: Vec<FieldProblem>,
    },
    /// A `.bin` file that is no PyTorch file, a damaged one, or one that claims more than it holds.
    #[error(
        "{} ({size} bytes) is not a readable PyTorch file: {reason}. Download or write it again; no code in it was run",
        path.display()
    )]
    NotPickle {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        size: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// A tensor file of one kind that is called like the other.
    #[error("{} is a {found} file under a wrong name: rename it to {expected}", path.display())]
    Misnamed {
        /// The file.
        path: PathBuf,
        /// What it is.
        found: &'static str,
        /// What such a file is called.
        expected: &'static str,
    },
    /// A folder without a config whose subfolders are adapters.
    #[error(
        "{} has no {CONFIG_FILE}, but its subfolders are adapters: {}; give one of them, for example {}",
        path.display(), names.join(", "), path.join(&names[0]).display()
    )]
    NamedAdapters {
        /// The folder.
        path: PathBuf,
        /// The subfolders, at least one.
        names: Vec<String>,
    },
    /// An adapter in the form of another program.
    #[error(transparent)]
    Foreign(#[from] Foreign),
    /// A checkpoint of the library loralib, which has no config.
    #[error(transparent)]
    Loralib(Box<Loralib>),
    /// A file that is larger than any file of its kind.
    #[error("{} has {size} bytes, more than the {} that such a file needs; {}", path.display(), limit.get(), limit.way_out(limit.get()))]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        size: u64,
        /// The largest size that is read.
        limit: Limit,
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
    #[error("{}: {}", path.display(), joined(problems))]
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
    #[error("values that are not finite: {}", joined(tensors))]
    NonFinite {
        /// Every tensor with such values.
        tensors: Vec<NonFinite>,
    },
    /// Another process writes to the output folder.
    #[error(
        "{} is in use: another process writes there; wait for it or choose another folder",
        path.display()
    )]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// The files of a folder may not belong together.
    #[error(
        "{} is unfinished: a process was stopped while it wrote there, so that its files may not belong together; write it again \
         (where the command has --overwrite, with that), or remove the folder",
        path.display()
    )]
    Unfinished {
        /// The folder.
        path: PathBuf,
    },
    /// The output folder holds something already.
    #[error("{} exists already: choose another folder, or empty this one", path.display())]
    Exists {
        /// The folder.
        path: PathBuf,
    },
}

impl FileError {
    /// What makes an error of what the system said when `action` was tried on a file.
    pub fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }

    /// Fails with what is wrong with the tensors of a file, where something is.
    pub(super) fn refuse(path: &Path, problems: Vec<TensorProblem>) -> Result<(), Self> {
        match problems.is_empty() {
            true => Ok(()),
            false => Err(Self::BadTensors {
                path: path.to_owned(),
                problems,
            }),
        }
    }
}
