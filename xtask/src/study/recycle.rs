//! EigenLoRAx with one task left out: LoRA is trained on nine tasks, and for a left-out one the basis comes from the other eight.

use std::path::{Path, PathBuf};

use anyhow::ensure;

use super::Arguments;
use super::comparison::Study;
use super::contender::Contender;
use super::data::TEXT_AND_LABEL;
use super::data_set::DataSet;
use super::pool;
use super::tasks::{self, Part};

/// Of every adapter here.
const TARGETS: &[&str] = &["adapter.targets=[\"query\",\"value\"]"];
/// Of the pool and of what recycling is compared with.
const LORA: &[&str] = &["adapter.rank=8", "adapter.alpha=16.0"];

const RANK_8: &[&str] = &["adapter.rank=8"];
const RANK_2: &[&str] = &["adapter.rank=2"];
const LOADINGS_RATES: &[f64] = &[4e-3, 1.6e-2, 6.4e-2];

const fn loadings(
    name: &'static str,
    folder: &'static str,
    settings: &'static [&'static [&'static str]],
    rates: &'static [f64],
) -> Contender {
    Contender::new(name, folder, "eigenlorax", settings, rates)
}

/// A task as the study writes it.
const fn task(name: &'static str, train: &'static str, dev: &'static str) -> DataSet {
    DataSet {
        name,
        task: "seq-cls",
        train,
        dev,
        settings: TEXT_AND_LABEL,
        metric: "accuracy",
        rounds: 1,
    }
}

pub(super) const STUDY: Study = Study {
    name: "recycle",
    prepare,
    evaluations: 1,
    contenders: &[
        Contender {
            name: "LoRA r8",
            folder: "lora",
            method: "lora",
            settings: &[TARGETS, LORA],
            rates: &[1e-3, 2e-3, 4e-3],
        },
        loadings(
            "EigenLoRAx r8, 32 directions",
            "basis",
            &[
                TARGETS,
                RANK_8,
                &["adapter.options.basis=\"{study}/bases/{data}-one-seed-32\""],
            ],
            LOADINGS_RATES,
        ),
        loadings(
            "the same, pool of different seeds",
            "basis-of-seeds",
            &[
                TARGETS,
                RANK_8,
                &["adapter.options.basis=\"{study}/bases/{data}-own-seeds-32\""],
            ],
            &[],
        ),
        loadings(
            "EigenLoRAx r2, 16 directions",
            "small-basis",
            &[
                TARGETS,
                RANK_2,
                &["adapter.options.basis=\"{study}/bases/{data}-one-seed-16\""],
            ],
            &[],
        ),
        loadings(
            "random, r8, 32 directions",
            "random",
            &[TARGETS, RANK_8, &["adapter.options.components=32"]],
            LOADINGS_RATES,
        ),
        loadings(
            "random, r2, 16 directions",
            "small-random",
            &[TARGETS, RANK_2, &["adapter.options.components=16"]],
            &[],
        ),
        Contender {
            name: "head only",
            folder: "head",
            method: "head",
            settings: &[],
            rates: &[2e-2, 8e-2],
        },
    ],
    data: &[
        // One whose relatives are in the pool, and one without.
        task("banking-3", "banking-3-train.tsv", "banking-3-dev.tsv"),
        task("trec", "trec-train.tsv", "trec-dev.tsv"),
    ],
};

/// LoRA as the adapters of the pool are trained, at a rate near the best one of every task here.
const POOL: Contender = Contender {
    name: "pool",
    folder: "pool",
    method: "lora",
    settings: &[TARGETS, LORA],
    rates: &[2e-3],
};

/// How the adapters of the pool begin: all from the same random numbers, or each from its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seeds {
    One,
    Own,
}

impl Seeds {
    const fn name(self) -> &'static str {
        match self {
            Self::One => "one-seed",
            Self::Own => "own-seeds",
        }
    }
}

/// Writes the tasks, trains the pool, and makes the bases for each task that is left out.
fn prepare(root: &Path, arguments: &Arguments, out: &Path) -> anyhow::Result<Arguments> {
    let data = out.join("data");
    std::fs::create_dir_all(&data)?;
    let mut names = Vec::new();
    for part in Part::ALL {
        let found = tasks::nine(&arguments.data, part)?;
        names = found.iter().map(|(name, _)| *name).collect();
        for (name, examples) in &found {
            let file = data.join(format!("{name}-{}.tsv", part.name()));
            std::fs::write(file, tasks::lines(examples))?;
        }
    }
    let arguments = &Arguments {
        data,
        ..arguments.clone()
    };
    let pools = [Seeds::One, Seeds::Own]
        .map(|seeds| adapters(root, arguments, out, &names, seeds).map(|pool| (seeds, pool)));
    for pool in pools {
        let (seeds, pool) = pool?;
        for left_out in STUDY.data {
            ensure!(names.contains(&left_out.name), "no task {}", left_out.name);
            let others = names.iter().zip(&pool);
            let others = others.filter(|(name, _)| **name != left_out.name);
            let others: Vec<&PathBuf> = others.map(|(_, adapter)| adapter).collect();
            for components in [16, 32] {
                let name = format!("{}-{}-{components}", left_out.name, seeds.name());
                let basis = out.join("bases").join(name);
                if !basis.exists() {
                    pool::build(&others, components, &basis).run(root)?;
                }
            }
        }
    }
    Ok(arguments.clone())
}

/// Trains an adapter for each task and gives their folders.
fn adapters(
    root: &Path,
    arguments: &Arguments,
    out: &Path,
    names: &[&'static str],
    seeds: Seeds,
) -> anyhow::Result<Vec<PathBuf>> {
    let places: Vec<(DataSet, [PathBuf; 2])> = names
        .iter()
        .map(|name| {
            let files = Part::ALL.map(|part| {
                let file = format!("{name}-{}.tsv", part.name());
                arguments.data.join(file)
            });
            (task(name, "", ""), files)
        })
        .collect();
    let own = |at: u64| if seeds == Seeds::One { 0 } else { at };
    let folder = out.join(POOL.folder).join(seeds.name());
    let sets: Vec<_> = (1..).map(own).zip(&places).collect();
    pool::train(root, arguments, out, &POOL, &folder, &sets)
}
