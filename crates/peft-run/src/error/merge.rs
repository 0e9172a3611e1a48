//! Why a merged model is not written.

use std::path::PathBuf;

/// Why a merged model is not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MergeError {
    /// The adapter makes the model overflow.
    #[error(
        "{}: base and adapter together give outputs that are not finite; nothing was merged",
        adapter.display()
    )]
    NotFinite {
        /// Folder of the adapter.
        adapter: PathBuf,
    },
    /// The merged model, as it was written, does not agree with base and adapter.
    #[error(
        "the merged model's outputs differ from those of base and adapter by {difference:.3e} of the largest output, more than \
         {allowed:.0e}; nothing was written (--tolerance allows more, another --dtype rounds less)"
    )]
    Differs {
        /// Largest difference of an output, relative to the largest output.
        difference: f32,
        /// The difference up to which a merge is written.
        allowed: f32,
    },
}
