//! Adapters of other tasks, and the basis that they share.

use std::path::{Path, PathBuf};

use super::Arguments;
use super::contender::Contender;
use super::data_set::DataSet;
use super::queue::side_by_side;
use super::run::Run;
use crate::shell::Step;

/// Trains an adapter on each data set, given with the seed and the files to learn from and to be judged on, and gives their folders.
pub(super) fn train(
    root: &Path,
    arguments: &Arguments,
    study: &Path,
    contender: &Contender,
    folder: &Path,
    sets: &[(u64, &(DataSet, [PathBuf; 2]))],
) -> anyhow::Result<Vec<PathBuf>> {
    let runs: Vec<Run<'_>> = sets
        .iter()
        .map(|(seed, (data, [train, valid]))| Run {
            contender,
            data,
            folder: folder.join(data.name),
            kind: "seed",
            train,
            valid,
            rate: contender.rates[0],
            seed: *seed,
            steps: arguments.steps,
            evaluations: 1,
        })
        .collect();
    side_by_side(arguments.jobs, &runs, |run| {
        run.make(root, study, arguments).map(|_| run.out())
    })
}

/// Makes a basis of adapters.
pub(super) fn build(adapters: &[&PathBuf], components: usize, out: &Path) -> Step {
    let mut words: Vec<String> = adapters
        .iter()
        .map(|adapter| adapter.display().to_string())
        .collect();
    words.extend(["--out".to_owned(), out.display().to_string()]);
    words.extend(["--components".to_owned(), components.to_string()]);
    Step::new("target/debug/peft recycle build").with_arguments(&words)
}
