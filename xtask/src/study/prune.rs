//! LoRA-drop at half of LoRA's parameters, beside LoRA and beside the same budget given to other layers, all at LoRA's best rate.

use super::comparison::{Contender, DataSet, Study};
use super::data::{COLA, SST2};

/// Rank 8 and alpha 16 on every linear layer.
const ALL_LINEAR: &[&str] = &[
    "adapter.rank=8",
    "adapter.alpha=16.0",
    "adapter.targets=\"all-linear\"",
];

const HALF: &[&str] = &["prune.keep=0.5"];

const fn dropping(
    name: &'static str,
    folder: &'static str,
    settings: &'static [&'static [&'static str]],
) -> Contender {
    Contender {
        name,
        folder,
        method: "lora-drop",
        settings,
        rates: &[],
    }
}

pub(super) const STUDY: Study = Study {
    name: "prune",
    prepare: |_, arguments, _| Ok(arguments.clone()),
    evaluations: 1,
    contenders: &[
        Contender {
            name: "LoRA r8",
            folder: "lora",
            method: "lora",
            settings: &[ALL_LINEAR],
            rates: &[5e-4, 1e-3, 2e-3],
        },
        dropping("LoRA-drop, half", "output", &[ALL_LINEAR, HALF]),
        dropping(
            "random layers, half",
            "random",
            &[ALL_LINEAR, HALF, &["prune.score=\"random\""]],
        ),
        dropping(
            "by parameter norm, half",
            "parameters",
            &[ALL_LINEAR, HALF, &["prune.score=\"parameters\""]],
        ),
    ],
    data: &[
        SST2,
        COLA,
        DataSet {
            name: "Banking77",
            task: "seq-cls",
            train: "banking77/train.csv",
            dev: "banking77/test.csv",
            columns: "text,label",
            metric: "accuracy",
            rounds: 3,
        },
    ],
};
