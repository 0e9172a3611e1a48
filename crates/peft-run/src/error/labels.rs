//! Why labels and the outputs of a classifier do not belong together.

use std::path::PathBuf;

/// Why labels and the outputs of a classifier do not belong together.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LabelError {
    /// A classifier that nobody trained.
    #[error("{} has no trained head ({} missing) and no --adapter brings one", model.display(), missing.join(", "))]
    NoHead {
        /// Folder of the model.
        model: PathBuf,
        /// Weights that its files lack.
        missing: Vec<String>,
    },
    /// Training data of one label.
    #[error(
        "{}: expected two labels or more, found {found} alone: a model would learn to answer nothing else; {way_out}",
        path.display()
    )]
    OneAlone {
        /// The training data.
        path: PathBuf,
        /// The label.
        found: String,
        /// What was probably meant.
        way_out: &'static str,
    },
    /// The data have another number of labels than a model that names none.
    #[error(
        "the model has {outputs} outputs without names, the data {labels} labels; put the label names, in the order of \
         the outputs, as a JSON list into labels.json beside the adapter"
    )]
    Unnamed {
        /// Outputs of the model.
        outputs: usize,
        /// Labels of the data.
        labels: usize,
    },
    /// The labels that belong to an adapter, or those of the data, are more or fewer than its outputs.
    #[error(
        "the adapter has {outputs} outputs, its labels or those of the data are {labels}; put the label names, in the order of the outputs, \
         as a JSON list into labels.json beside the adapter"
    )]
    Count {
        /// Outputs of the adapter.
        outputs: usize,
        /// Labels.
        labels: usize,
    },
}
