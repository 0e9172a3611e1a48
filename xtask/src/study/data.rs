//! The data sets that more than one study takes.

use super::data_set::DataSet;

/// Two columns, as [`super::tasks::lines`] writes them.
pub(super) const TEXT_AND_LABEL: &[&str] = &["data.columns=[\"text\",\"label\"]"];

pub(super) const SST2: DataSet = DataSet {
    name: "SST-2",
    task: "seq-cls",
    train: "sst2/train.tsv",
    dev: "sst2/dev.tsv",
    settings: TEXT_AND_LABEL,
    metric: "accuracy",
    rounds: 1,
};

pub(super) const COLA: DataSet = DataSet {
    name: "CoLA",
    task: "seq-cls",
    train: "cola/in_domain_train.tsv",
    dev: "cola/in_domain_dev.tsv",
    settings: &["data.columns=[\"_\",\"label\",\"_\",\"text\"]"],
    metric: "matthews",
    // The rarer class is not predicted at all in the first few hundred steps.
    rounds: 3,
};

/// TREC's questions with their coarse labels, as [`super::tasks::write`] leaves them.
pub(super) const TREC: DataSet = DataSet {
    name: "TREC",
    task: "seq-cls",
    train: "trec-train.tsv",
    dev: "trec-dev.tsv",
    settings: TEXT_AND_LABEL,
    metric: "accuracy",
    rounds: 1,
};
