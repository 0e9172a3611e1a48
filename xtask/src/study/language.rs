//! Every method on a small language model: nats per token of Shakespeare after equal steps.

use std::path::{Path, PathBuf};

use super::Arguments;
use super::comparison::Study;
use super::contender::Contender;
use super::data_set::DataSet;
use super::pool;
use super::tasks::{self, Part};

const ALL_LINEAR: &[&str] = &["adapter.targets=\"all-linear\""];
/// With alpha 16, which is twice the rank where nothing is said.
const RANK_8: &[&str] = &["adapter.rank=8"];
const RATES: &[f64] = &[4e-3, 8e-3, 1.6e-2, 3.2e-2, 6.4e-2];
const LOADINGS_RATES: &[f64] = &[3.2e-2, 6.4e-2, 1.28e-1, 2.56e-1];

const fn contender(
    name: &'static str,
    method: &'static str,
    settings: &'static [&'static [&'static str]],
    rates: &'static [f64],
) -> Contender {
    Contender::new(name, method, method, settings, rates)
}

const fn low_rank(name: &'static str, method: &'static str) -> Contender {
    contender(name, method, &[ALL_LINEAR, RANK_8], RATES)
}

/// 16 blocks of 128 tokens.
const fn text(name: &'static str, train: &'static str, dev: &'static str) -> DataSet {
    DataSet {
        name,
        task: "causal-lm",
        train,
        dev,
        settings: &[
            "train.batch_size=16",
            "data.max_length=128",
            "train.warmup=0",
        ],
        metric: "perplexity",
        rounds: 1,
    }
}

pub(super) const STUDY: Study = Study {
    name: "language",
    prepare,
    evaluations: 1,
    contenders: &[
        low_rank("LoRA r8", "lora"),
        low_rank("rsLoRA r8", "rslora"),
        low_rank("DoRA r8", "dora"),
        low_rank("BoRA r8", "bora"),
        low_rank("PiSSA r8", "pissa"),
        low_rank("OLoRA r8", "olora"),
        contender(
            "LoRA-drop r8, half",
            "lora-drop",
            &[ALL_LINEAR, RANK_8, &["prune.keep=0.5"]],
            RATES,
        ),
        contender(
            "MoE-LoRA, 8 experts of r2, 2 for a token",
            "moe-lora",
            &[ALL_LINEAR, &["adapter.rank=2", "adapter.alpha=4.0"]],
            RATES,
        ),
        contender(
            "SVFit, every value",
            "svfit",
            &[ALL_LINEAR],
            &[2.56e-1, 5.12e-1, 1.024, 2.048],
        ),
        Contender::new(
            "EigenLoRAx r8, 32 directions of other texts' adapters",
            "basis",
            "eigenlorax",
            &[
                ALL_LINEAR,
                RANK_8,
                &["adapter.options.basis=\"{study}/basis\""],
            ],
            LOADINGS_RATES,
        ),
        contender(
            "EigenLoRAx r8, 32 random directions",
            "eigenlorax",
            &[ALL_LINEAR, RANK_8, &["adapter.options.components=32"]],
            LOADINGS_RATES,
        ),
        contender("full", "full", &[], &[8e-3, 1.6e-2, 3.2e-2, 6.4e-2]),
    ],
    data: &[text(
        "tinyshakespeare",
        "tinyshakespeare/train.txt",
        "tinyshakespeare/valid.txt",
    )],
};

/// LoRA on the sentences of another task.
const POOL: Contender = contender("pool", "lora", &[ALL_LINEAR, RANK_8], &[4e-3]);

/// Trains an adapter on the sentences of each of nine other tasks, and makes a basis of them.
fn prepare(root: &Path, arguments: &Arguments, out: &Path) -> anyhow::Result<Arguments> {
    let sentences = out.join("sentences");
    std::fs::create_dir_all(&sentences)?;
    let mut names = Vec::new();
    for part in Part::ALL {
        let found = tasks::nine(&arguments.data, part)?;
        names = found.iter().map(|(name, _)| *name).collect();
        for (name, examples) in found {
            let lines: Vec<String> = examples.into_iter().map(|example| example.text).collect();
            std::fs::write(file(&sentences, name, part), lines.join("\n"))?;
        }
    }
    let places: Vec<(DataSet, [PathBuf; 2])> = names
        .iter()
        .map(|name| {
            let files = Part::ALL.map(|part| file(&sentences, name, part));
            (text(name, "", ""), files)
        })
        .collect();
    let sets: Vec<_> = places.iter().map(|set| (0, set)).collect();
    let adapters = pool::train(root, arguments, out, &POOL, &out.join("pool"), &sets)?;
    let basis = out.join("basis");
    if !basis.exists() {
        pool::build(&adapters.iter().collect::<Vec<_>>(), 32, &basis).run(root)?;
    }
    Ok(arguments.clone())
}

fn file(folder: &Path, name: &str, part: Part) -> PathBuf {
    folder.join(format!("{name}-{}.txt", part.name()))
}
