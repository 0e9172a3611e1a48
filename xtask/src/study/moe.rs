//! Mixtures of experts beside LoRA, each with SGD and AdamW, plain, preconditioned, and with rescaled gates, at the rate that is best for LoRA.

use std::path::Path;

use super::Arguments;
use super::comparison::Study;
use super::contender::Contender;
use super::data::{TEXT_AND_LABEL, TREC};
use super::data_set::DataSet;
use super::tasks::{self, Example, Part};

/// Rank 4 and alpha 16 on query and value; the mixture has eight experts of that rank, two for each token.
const LOW_RANK: &[&str] = &[
    "adapter.rank=4",
    "adapter.alpha=16.0",
    "adapter.targets=[\"query\",\"value\"]",
];
/// Without clipping, as published: the norm of conditioned gradients says nothing of their length.
const SGD: &[&str] = &["train.optimizer=\"sgd\"", "train.clip_norm=0.0"];
const RIEMANNIAN: &[&str] = &["procedures.riemannian={}"];
const RESCALED: &[&str] = &["adapter.options.gate_rescale=\"sqrt-detach\""];

const ADAMW_RATES: &[f64] = &[4e-3, 1.6e-2];
const SGD_RATES: &[f64] = &[3.2e-1, 1.28, 5.12];
/// What is small in one factor is large in the gradient of the other.
const CONDITIONED_SGD_RATES: &[f64] = &[5e-3, 2e-2, 8e-2, 3.2e-1];
/// Those of LoRA with the same optimizer, the row before.
const SAME_RATE: &[f64] = &[];

pub(super) const STUDY: Study = Study {
    name: "moe",
    prepare,
    evaluations: 5,
    contenders: &[
        Contender::new(
            "LoRA, AdamW",
            "lora-adamw",
            "lora",
            &[LOW_RANK],
            ADAMW_RATES,
        ),
        Contender::new(
            "MoE, AdamW",
            "moe-adamw",
            "moe-lora",
            &[LOW_RANK],
            SAME_RATE,
        ),
        Contender::new(
            "LoRA, AdamW, Riemannian",
            "lora-adamw-r",
            "lora",
            &[LOW_RANK, RIEMANNIAN],
            ADAMW_RATES,
        ),
        Contender::new(
            "MoE, AdamW, Riemannian",
            "moe-adamw-r",
            "moe-lora",
            &[LOW_RANK, RIEMANNIAN],
            SAME_RATE,
        ),
        Contender::new(
            "MoE, AdamW, Riemannian, rescaled",
            "moe-adamw-rg",
            "moe-lora",
            &[LOW_RANK, RIEMANNIAN, RESCALED],
            SAME_RATE,
        ),
        Contender::new("LoRA, SGD", "lora-sgd", "lora", &[LOW_RANK, SGD], SGD_RATES),
        Contender::new(
            "MoE, SGD",
            "moe-sgd",
            "moe-lora",
            &[LOW_RANK, SGD],
            SAME_RATE,
        ),
        Contender::new(
            "LoRA, SGD, Riemannian",
            "lora-sgd-r",
            "lora",
            &[LOW_RANK, SGD, RIEMANNIAN],
            CONDITIONED_SGD_RATES,
        ),
        Contender::new(
            "MoE, SGD, Riemannian",
            "moe-sgd-r",
            "moe-lora",
            &[LOW_RANK, SGD, RIEMANNIAN],
            SAME_RATE,
        ),
        Contender::new(
            "MoE, SGD, Riemannian, rescaled",
            "moe-sgd-rg",
            "moe-lora",
            &[LOW_RANK, SGD, RIEMANNIAN, RESCALED],
            SAME_RATE,
        ),
    ],
    data: &[
        TREC,
        DataSet {
            name: "mixture",
            task: "seq-cls",
            train: "mixture-train.tsv",
            dev: "mixture-dev.tsv",
            settings: TEXT_AND_LABEL,
            metric: "accuracy",
            rounds: 1,
        },
    ],
};

/// Rows of each task in the training data of the mixture.
const ROWS: usize = 4000;

/// Four tasks in one label space: whose sentence it is, and what that task says of it.
fn prepare(_root: &Path, arguments: &Arguments, out: &Path) -> anyhow::Result<Arguments> {
    let data = out.join("data");
    std::fs::create_dir_all(&data)?;
    tasks::write(&arguments.data, &data, "trec")?;
    for part in Part::ALL {
        let name = format!("{}.tsv", part.name());
        let most = match part {
            Part::Train => ROWS,
            Part::Dev => ROWS / 20,
        };
        // One of each task after the other, so that a prefix and every fifth line are mixed too.
        let mut mixed: Vec<(usize, Example)> = Vec::new();
        for (task, examples) in tasks::four(&arguments.data, part)? {
            let examples = examples.into_iter().take(most);
            mixed.extend(examples.enumerate().map(|(row, mut example)| {
                example.label = format!("{task} {}", example.label);
                (row, example)
            }));
        }
        mixed.sort_by_key(|(row, _)| *row);
        let text = tasks::lines(mixed.iter().map(|(_, example)| example));
        std::fs::write(data.join(format!("mixture-{name}")), text)?;
    }
    Ok(Arguments {
        data,
        ..arguments.clone()
    })
}
