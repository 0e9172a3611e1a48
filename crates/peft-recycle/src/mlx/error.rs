//! Why an adapter cannot be converted to or from mlx-lm.

use std::path::PathBuf;

use peft_format::file::FileError;

use crate::error::MemberProblem;

/// Why an adapter cannot be converted to or from mlx-lm.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MlxError {
    /// The configuration of mlx-lm is not one of an adapter; every problem with it.
    #[error("{}: {}", path.display(), problems.join("; "))]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problems: Vec<String>,
    },
    /// Tensors that cannot be converted; every one of them.
    #[error("{}: {}", path.display(), problems.join("; "))]
    Tensors {
        /// The file or folder.
        path: PathBuf,
        /// Each tensor, expected and found.
        problems: Vec<String>,
    },
    /// The PEFT folder cannot be read.
    #[error("{0}")]
    Member(MemberProblem),
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
}
