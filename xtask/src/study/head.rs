//! The learning rate of a new classification head beside LoRA: one rate for both, and rates of its own, each at LoRA's best rate with it.

use std::path::Path;

use super::Arguments;
use super::comparison::Study;
use super::contender::Contender;
use super::data::{COLA, SST2, TEXT_AND_LABEL, TREC};
use super::data_set::DataSet;
use super::tasks;

/// Rank 8 and alpha 16 on query and value, texts of up to 48 tokens.
const LORA: &[&str] = &[
    "adapter.rank=8",
    "adapter.alpha=16.0",
    "adapter.targets=[\"query\",\"value\"]",
    "data.max_length=48",
];

const fn head_at(
    name: &'static str,
    folder: &'static str,
    settings: &'static [&'static [&'static str]],
) -> Contender {
    Contender::new(name, folder, "lora", settings, &[5e-4, 2e-3])
}

const BANKING77: DataSet = DataSet {
    name: "Banking77",
    task: "seq-cls",
    train: "banking77-train.tsv",
    dev: "banking77-dev.tsv",
    settings: TEXT_AND_LABEL,
    metric: "accuracy",
    rounds: 1,
};

pub(super) const STUDY: Study = Study {
    name: "head",
    prepare,
    evaluations: 1,
    contenders: &[
        head_at(
            "one rate for all",
            "same",
            &[LORA, &["train.head_lr=\"same\""]],
        ),
        head_at("head at 5e-3", "5e-3", &[LORA, &["train.head_lr=5e-3"]]),
        head_at("head at 2e-2", "2e-2", &[LORA, &["train.head_lr=2e-2"]]),
        head_at("head at 5e-2", "5e-2", &[LORA, &["train.head_lr=5e-2"]]),
        head_at("head at 1e-1", "1e-1", &[LORA, &["train.head_lr=1e-1"]]),
    ],
    data: &[TREC, SST2, COLA, BANKING77],
};

/// Every data set in one folder.
fn prepare(_root: &Path, arguments: &Arguments, out: &Path) -> anyhow::Result<Arguments> {
    let data = out.join("data");
    for set in [SST2, COLA] {
        tasks::copy(&arguments.data, &data, &set)?;
    }
    for name in ["trec", "banking77"] {
        tasks::write(&arguments.data, &data, name)?;
    }
    Ok(Arguments {
        data,
        ..arguments.clone()
    })
}
