//! Errors of reading and writing GGUF files.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use peft_format::file::FileError;
use peft_format::file::input::Limit;

use crate::block::BlockError;
use crate::{FormatError, MetadataError};

/// Why a GGUF file could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GgufError {
    /// The content is not GGUF.
    #[error("{}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: FormatError,
    },
    /// A metadata entry that is missing, or of another type.
    #[error("{}", path.display())]
    Metadata {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: MetadataError,
    },
    /// A tensor that is not there.
    #[error("{} has no tensor `{name}`{}", path.display(), near.as_ref().map_or(String::new(), |near| format!("; it has `{near}`")))]
    NoTensor {
        /// The file.
        path: PathBuf,
        /// The name.
        name: String,
        /// The name in the file that is most like it.
        near: Option<String>,
    },
    /// Rows that a tensor does not have.
    #[error("{}: `{name}` has rows 0 to {rows}, asked for {} to {}", path.display(), asked.start, asked.end)]
    NoRows {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// The number of its rows.
        rows: u64,
        /// The rows that were asked for.
        asked: Range<u64>,
    },
    /// The blocks of a tensor cannot be read, or made of its values.
    #[error("{}: `{name}`", path.display())]
    Block {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// What is wrong.
        #[source]
        source: BlockError,
    },
    /// Files of a model in several files that are not there.
    #[error("{} is one of {count} files, of which are missing: {}; download them into the same folder", path.display(), missing.join(", "))]
    MissingShards {
        /// The file that was opened.
        path: PathBuf,
        /// The number of files that it states.
        count: u64,
        /// The names of those that are missing; of many, the first.
        missing: Vec<String>,
    },
    /// A file of several whose name does not say which.
    #[error(
        "{} is file {number} of {count} and must be called `..-{number:05}-of-{count:05}.gguf`, so that the others can be found: give the \
         files the names that they had",
        path.display()
    )]
    ShardName {
        /// The file.
        path: PathBuf,
        /// Its number from 1, as its metadata says.
        number: u64,
        /// The number of files, as its metadata says.
        count: u64,
    },
    /// Files that do not belong together.
    #[error("{} does not belong to the other files of its model: {what} {expected} expected, found {found}; download all of them again", path.display())]
    Shard {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        what: &'static str,
        /// What it should be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// More files than any model has.
    #[error("{} is one of {count} files, at most {} are opened; {}", path.display(), limit.get(), limit.way_out(limit.get()))]
    TooManyFiles {
        /// The file that was opened.
        path: PathBuf,
        /// The number of files that it states.
        count: u64,
        /// The largest number.
        limit: Limit,
    },
    /// Other bytes than a tensor has.
    #[error("{}: `{name}` has {expected} bytes, {found} were written", path.display())]
    Written {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Bytes that its shape needs.
        expected: u64,
        /// Bytes that were given, where there are too many up to the piece that was too much.
        found: u64,
    },
    /// The operating system refused to open, read or write a file.
    #[error(transparent)]
    File(#[from] FileError),
}

impl GgufError {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let error = FileError::io(action, path);
        move |source| Self::File(error(source))
    }
}
