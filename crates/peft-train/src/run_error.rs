//! What can go wrong in the course of a run, and with one that goes on.

use std::path::PathBuf;

/// A run that cannot go on, or was asked not to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The loss is not a number any more.
    #[error(
        "step {step}: the loss is {loss}; nothing was saved of the weights that gave it, and {kept}; \
         try a smaller learning rate (train.lr), a warm-up (train.warmup) or a smaller alpha"
    )]
    LossNotFinite {
        /// Steps that had been taken.
        step: usize,
        /// What the loss became.
        loss: f64,
        /// What is still there.
        kept: String,
    },
    /// A trained weight is not a number any more.
    #[error(
        "step {step}: `{name}` holds {value}; nothing was saved of these weights, and {kept}; \
         try a smaller learning rate (train.lr), a warm-up (train.warmup) or a smaller alpha"
    )]
    WeightNotFinite {
        /// Steps that had been taken.
        step: usize,
        /// The first such parameter.
        name: String,
        /// What stands there.
        value: f64,
        /// What is still there.
        kept: String,
    },
    /// A device of several failed in the midst of its work.
    #[error("device {device} failed: {problem}; {kept}")]
    Device {
        /// The device.
        device: String,
        /// Which of the devices it is, counted from 0; the first holds the model.
        place: usize,
        /// What it said.
        problem: String,
        /// What is still there.
        kept: String,
    },
    /// The system refused a thread for a device.
    #[error("no thread could be started for a device: {0}")]
    Thread(#[source] std::io::Error),
    /// Somebody asked the run to end, and nothing is written yet.
    #[error("stopped")]
    Stopped,
    /// Somebody asked the run to end, and it did.
    #[error("stopped after step {step}; {} holds everything to go on from", checkpoint.display())]
    Interrupted {
        /// Steps that were taken.
        step: usize,
        /// The checkpoint.
        checkpoint: PathBuf,
    },
    /// A checkpoint belongs to another run.
    #[error("{}: was written by a run with other settings or data ({what}); resume with the same ones, or start anew elsewhere", path.display())]
    OtherRun {
        /// The checkpoint.
        path: PathBuf,
        /// What differs.
        what: String,
    },
    /// A run is to be shorter than it was begun.
    #[error(
        "the run was begun with {before} steps and has {now} now; a run that goes on can be made longer, not shorter"
    )]
    Shorter {
        /// Steps of the run as it was begun.
        before: usize,
        /// Steps that it is to have.
        now: usize,
    },
    /// A checkpoint cannot be used.
    #[error("{}: broken checkpoint: {message}; remove it to resume from the one before", path.display())]
    Checkpoint {
        /// The checkpoint.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
}
