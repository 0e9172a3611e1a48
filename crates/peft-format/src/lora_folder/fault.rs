//! Why a folder is no folder of LoRA, rsLoRA or DoRA.

use crate::file::{FileError, TensorProblem, Unsupported};
use crate::problems::joined;
use crate::target::TargetError;

/// What is wrong with a folder.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoraFault {
    /// It cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A rank or alpha pattern cannot be read.
    #[error(transparent)]
    Pattern(#[from] TargetError),
    /// Its configuration asks for more than `W + s B A`.
    #[error("not plain LoRA, rsLoRA or DoRA: {}", joined(.0))]
    Unsupported(Vec<Unsupported>),
    /// Factors in a format that is not read.
    #[error("{}", joined(.0))]
    Tensors(Vec<TensorProblem>),
    /// No pair of factors at all.
    #[error("it has no pair lora_A and lora_B: is it an adapter of linear layers?")]
    NoPairs,
    /// Tensors of a site that do not make a pair.
    #[error("site `{site}`: {problem}")]
    Site {
        /// Path of the site.
        site: String,
        /// Expected and found.
        problem: String,
    },
    /// Factors with NaN or infinite values.
    #[error(
        "{count} values of `{tensor}` are NaN or infinite: the training diverged, leave it out"
    )]
    NotFinite {
        /// Name of the tensor.
        tensor: String,
        /// How many values.
        count: usize,
    },
}
