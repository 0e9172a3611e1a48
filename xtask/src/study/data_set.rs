//! What methods are compared on.

/// A data set as the program reads it.
#[derive(Debug)]
pub(super) struct DataSet {
    pub(super) name: &'static str,
    /// What the program calls the task.
    pub(super) task: &'static str,
    pub(super) train: &'static str,
    pub(super) dev: &'static str,
    /// How it is read and trained on, as `--set` takes it.
    pub(super) settings: &'static [&'static str],
    /// What methods are compared by.
    pub(super) metric: &'static str,
    /// How many times the steps of the arguments a run takes here.
    pub(super) rounds: usize,
}
