//! Errors of seeing a GGUF model as a model folder.

use std::path::PathBuf;

use super::{Architecture, LayoutError};
use crate::GgufError;

/// Why a GGUF model cannot be seen as transformers have it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HfError {
    /// The file could not be read, or an entry of its metadata or a tensor is missing.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// An architecture whose conversion is not known.
    #[error("{}: the architecture `{found}` is not known, which are: {}{}", path.display(), Architecture::known(), near.as_ref().map_or(String::new(), |near| format!("; `{near}` is most like it")))]
    Architecture {
        /// The file.
        path: PathBuf,
        /// What `general.architecture` says.
        found: String,
        /// The known name that is most like it.
        near: Option<String>,
    },
    /// Something that no `config.json` of these architectures can say, or that would be lost.
    #[error("{}: {what} is {found}, supported is {supported}", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// The key or the tensor.
        what: String,
        /// What it is.
        found: String,
        /// What it could be.
        supported: String,
    },
    /// A tensor that models of the architecture do not have.
    #[error("{}: `{name}` is no tensor of a {architecture} model of {blocks} blocks", path.display())]
    UnknownTensor {
        /// The file.
        path: PathBuf,
        /// Its name in the file.
        name: String,
        /// The architecture.
        architecture: Architecture,
        /// The number of blocks that the file states.
        blocks: u64,
    },
    /// A tensor that was asked for and is not there.
    #[error("{} has no tensor that is called `{name}` in transformers{}", path.display(), near.as_ref().map_or(String::new(), |near| format!("; it has `{near}`")))]
    NoTensor {
        /// The file.
        path: PathBuf,
        /// The name in transformers.
        name: String,
        /// The name that is most like it.
        near: Option<String>,
    },
    /// A tensor whose shape does not allow what the conversion did to its values.
    #[error("{}: `{name}`", path.display())]
    Layout {
        /// The file.
        path: PathBuf,
        /// Its name in the file.
        name: String,
        /// What is wrong.
        #[source]
        source: LayoutError,
    },
}
