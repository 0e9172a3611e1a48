//! LoRA-drop at half of LoRA's parameters, beside LoRA and beside the same budget given to other layers, all at LoRA's best rate.

use std::path::Path;

use super::Arguments;
use super::comparison::Study;
use super::contender::Contender;
use super::data::{COLA, SST2, TREC};
use super::tasks;

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
    prepare,
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
    data: &[SST2, COLA, TREC],
};

/// TREC beside the other two data sets as they are.
fn prepare(_root: &Path, arguments: &Arguments, out: &Path) -> anyhow::Result<Arguments> {
    let data = out.join("data");
    for set in [SST2, COLA] {
        tasks::copy(&arguments.data, &data, &set)?;
    }
    tasks::write(&arguments.data, &data, "trec")?;
    Ok(Arguments {
        data,
        ..arguments.clone()
    })
}
