//! Mixtures of experts beside LoRA, each with SGD and AdamW, plain, preconditioned, and with rescaled gates.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context;

use super::Arguments;
use super::data::SST2;
use super::run::{Contender, DataSet, Study};

/// Rank 4 and alpha 16 on query and value; the mixture has eight experts of that rank, two for each token.
const LOW_RANK: &[&str] = &[
    "adapter.rank=4",
    "adapter.alpha=16.0",
    "adapter.targets=[\"query\",\"value\"]",
];
const SGD: &[&str] = &["train.optimizer=\"sgd\""];
const RIEMANNIAN: &[&str] = &["precondition.kind=\"riemannian\""];
const RESCALED: &[&str] = &["adapter.options.gate_rescale=\"sqrt-detach\""];

const ADAMW_RATES: &[f64] = &[1e-3, 4e-3, 1.6e-2];
const SGD_RATES: &[f64] = &[2e-2, 8e-2, 3.2e-1];
/// What is small in one factor is large in the gradient of the other: lower rates too.
const CONDITIONED_SGD_RATES: &[f64] = &[5e-3, 2e-2, 8e-2, 3.2e-1];

const fn contender(
    name: &'static str,
    folder: &'static str,
    method: &'static str,
    settings: &'static [&'static [&'static str]],
    rates: &'static [f64],
) -> Contender {
    Contender {
        name,
        folder,
        method,
        settings,
        rates,
    }
}

pub(super) const STUDY: Study = Study {
    name: "moe",
    prepare,
    evaluations: 10,
    contenders: &[
        contender(
            "LoRA, AdamW",
            "lora-adamw",
            "lora",
            &[LOW_RANK],
            ADAMW_RATES,
        ),
        contender(
            "LoRA, AdamW, Riemannian",
            "lora-adamw-r",
            "lora",
            &[LOW_RANK, RIEMANNIAN],
            ADAMW_RATES,
        ),
        contender("LoRA, SGD", "lora-sgd", "lora", &[LOW_RANK, SGD], SGD_RATES),
        contender(
            "LoRA, SGD, Riemannian",
            "lora-sgd-r",
            "lora",
            &[LOW_RANK, SGD, RIEMANNIAN],
            CONDITIONED_SGD_RATES,
        ),
        contender(
            "MoE, AdamW",
            "moe-adamw",
            "moe-lora",
            &[LOW_RANK],
            ADAMW_RATES,
        ),
        contender(
            "MoE, AdamW, Riemannian",
            "moe-adamw-r",
            "moe-lora",
            &[LOW_RANK, RIEMANNIAN],
            ADAMW_RATES,
        ),
        contender(
            "MoE, AdamW, Riemannian, rescaled",
            "moe-adamw-rg",
            "moe-lora",
            &[LOW_RANK, RIEMANNIAN, RESCALED],
            ADAMW_RATES,
        ),
        contender(
            "MoE, SGD",
            "moe-sgd",
            "moe-lora",
            &[LOW_RANK, SGD],
            SGD_RATES,
        ),
        contender(
            "MoE, SGD, Riemannian",
            "moe-sgd-r",
            "moe-lora",
            &[LOW_RANK, SGD, RIEMANNIAN],
            CONDITIONED_SGD_RATES,
        ),
        contender(
            "MoE, SGD, Riemannian, rescaled",
            "moe-sgd-rg",
            "moe-lora",
            &[LOW_RANK, SGD, RIEMANNIAN, RESCALED],
            CONDITIONED_SGD_RATES,
        ),
    ],
    data: &[
        SST2,
        DataSet {
            name: "mixture",
            task: "seq-cls",
            train: "mixture-train.tsv",
            dev: "mixture-dev.tsv",
            columns: "text,label",
            metric: "accuracy",
            rounds: 2,
        },
    ],
};

/// Rows of each task in the training data of the mixture.
const ROWS: usize = 4000;

/// Four tasks in one label space: whose sentence it is, and what that task says of it. SST-2, CoLA, TREC (coarse labels) and MRPC, whose
/// two sentences stand one after the other.
fn prepare(_root: &Path, arguments: &Arguments, out: &Path) -> anyhow::Result<Arguments> {
    let folder = out.join("data");
    std::fs::create_dir_all(&folder)?;
    for part in ["train", "dev"] {
        let tasks = tasks(&arguments.data, part)?;
        let longest = tasks.iter().map(Vec::len).max().unwrap_or(0);
        let mut text = String::new();
        // One of each task after the other, so that a prefix and every fifth line are mixed too.
        for row in 0..longest {
            for (label, sentence) in tasks.iter().filter_map(|task| task.get(row)) {
                let _ = writeln!(text, "{sentence}\t{label}");
            }
        }
        std::fs::write(folder.join(format!("mixture-{part}.tsv")), text)?;
    }
    for part in ["train", "dev"] {
        let target = folder.join("sst2");
        std::fs::create_dir_all(&target)?;
        let name = format!("{part}.tsv");
        std::fs::copy(arguments.data.join("sst2").join(&name), target.join(&name))?;
    }
    Ok(Arguments {
        data: folder,
        ..arguments.clone()
    })
}

/// Labels and sentences of each task.
fn tasks(data: &Path, part: &str) -> anyhow::Result<[Vec<(String, String)>; 4]> {
    let train = part == "train";
    let read = |name: &str| {
        let file = data.join(name);
        let bytes =
            std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        // TREC is in Latin-1.
        anyhow::Ok(
            bytes
                .iter()
                .map(|byte| char::from(*byte))
                .collect::<String>(),
        )
    };
    let utf8 = |name: &str| {
        let file = data.join(name);
        std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))
    };
    let sst2 = utf8(&format!("sst2/{part}.tsv"))?;
    let cola = utf8(&format!("cola/in_domain_{part}.tsv"))?;
    let trec = read(if train {
        "trec/TREC.train"
    } else {
        "trec/TREC.test"
    })?;
    let mrpc = utf8("mrpc/msr_paraphrase_train.txt")?;
    let field = |line: &str, at: usize| line.split('\t').nth(at).map(str::to_owned);
    let labelled = |task: &str, label: &str, text: String| (format!("{task} {label}"), text);
    // MRPC has one file here: every tenth pair is for validation.
    let pairs = mrpc.lines().skip(1).enumerate();
    let pairs = pairs.filter(|(at, _)| (at % 10 == 9) != train);
    let mut tasks = [
        sst2.lines()
            .filter_map(|line| Some(labelled("sst2", &field(line, 1)?, field(line, 0)?)))
            .collect(),
        cola.lines()
            .filter_map(|line| Some(labelled("cola", &field(line, 1)?, field(line, 3)?)))
            .collect(),
        trec.lines()
            .filter_map(|line| {
                let (label, text) = line.split_once(' ')?;
                let coarse = label.split(':').next()?;
                Some(labelled("trec", coarse, text.to_owned()))
            })
            .collect(),
        pairs
            .filter_map(|(_, line)| {
                let text = format!("{} / {}", field(line, 3)?, field(line, 4)?);
                Some(labelled("mrpc", &field(line, 0)?, text))
            })
            .collect::<Vec<_>>(),
    ];
    let most = if train { ROWS } else { ROWS / 10 };
    for task in &mut tasks {
        anyhow::ensure!(!task.is_empty(), "a task of the mixture has no rows");
        task.truncate(most);
    }
    Ok(tasks)
}
