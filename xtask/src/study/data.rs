//! The data sets that more than one study takes.

use super::comparison::DataSet;

pub(super) const SST2: DataSet = DataSet {
    name: "SST-2",
    task: "seq-cls",
    train: "sst2/train.tsv",
    dev: "sst2/dev.tsv",
    columns: "text,label",
    metric: "accuracy",
    rounds: 1,
};

pub(super) const COLA: DataSet = DataSet {
    name: "CoLA",
    task: "seq-cls",
    train: "cola/in_domain_train.tsv",
    dev: "cola/in_domain_dev.tsv",
    columns: "_,label,_,text",
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
    columns: "text,label",
    metric: "accuracy",
    rounds: 1,
};
