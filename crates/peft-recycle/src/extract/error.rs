//! Why no adapter can be extracted from two models.

use std::path::PathBuf;

use peft_format::file::FileError;
use peft_format::target::TargetError;

use crate::error::SubspaceError;

/// Why no adapter can be extracted from two models.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExtractError {
    /// A folder without weights.
    #[error(
        "{}: no model.safetensors and no model.safetensors.index.json: {}",
        folder.display(),
        if folder.join(peft_format::file::CONFIG_FILE).exists() {
            "this is an adapter; merge it into its base first (peft merge) and give the merged model"
        } else {
            "save the model with safe_serialization"
        }
    )]
    NoWeights {
        /// The folder.
        folder: PathBuf,
    },
    /// An index of shards that cannot be believed.
    #[error("{}: {problem}", path.display())]
    Index {
        /// The index.
        path: PathBuf,
        /// Expected and found.
        problem: String,
    },
    /// The target selects no weight.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The target names what is no linear layer in both models.
    #[error(
        "no low-rank pair is made of {}: an embedding, a tensor of another shape than a matrix, or one that the models do not share; \
         leave it out of the targets, and its change is listed as lost",
        paths.join(", ")
    )]
    NoPair {
        /// Their paths.
        paths: Vec<String>,
    },
    /// No selected weight differs.
    #[error(
        "none of the {selected} selected weights differs between the two models: was one of them trained, and are they given in the right order?"
    )]
    Unchanged {
        /// How many weights were compared.
        selected: usize,
    },
    /// A difference that cannot be decomposed or written.
    #[error("weight `{weight}`")]
    Weight {
        /// Its name.
        weight: String,
        /// What is wrong.
        #[source]
        source: SubspaceError,
    },
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
}
