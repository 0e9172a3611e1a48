//! One run of a study: how it is made, and found again.

use std::path::{Path, PathBuf};

use anyhow::Context;

use super::Arguments;
use super::contender::Contender;
use super::data_set::DataSet;
use super::outcome::Outcome;
use super::queue::threads;
use crate::shell::Step;

/// Log of a run, in its folder.
pub(super) const LOG: &str = "train_log.jsonl";

/// Where a run is written, what it learns from and is judged on, and with which numbers.
pub(super) struct Run<'a> {
    pub(super) contender: &'a Contender,
    pub(super) data: &'a DataSet,
    /// Folder of all runs of the method and data set.
    pub(super) folder: PathBuf,
    /// What the run is for: `choose` a rate, or a `seed` of the table.
    pub(super) kind: &'static str,
    pub(super) train: &'a Path,
    pub(super) valid: &'a Path,
    pub(super) rate: f64,
    pub(super) seed: u64,
    pub(super) steps: usize,
    pub(super) evaluations: usize,
}

impl Run<'_> {
    /// Where the run is written: everything that tells it from another of its method and data set.
    pub(super) fn out(&self) -> PathBuf {
        let Self {
            kind,
            seed,
            rate,
            steps,
            ..
        } = self;
        self.folder
            .join(format!("{kind}-{seed}-rate-{rate:e}-steps-{steps}"))
    }

    /// Runs the program unless the run is finished, and reads its result.
    pub(super) fn make(
        &self,
        root: &Path,
        study: &Path,
        arguments: &Arguments,
    ) -> anyhow::Result<Outcome> {
        let results = self.out().join("results.json");
        if !results.exists() {
            self.command(study, arguments).run(root)?;
        }
        Outcome::read(&std::fs::read_to_string(&results)?, self.data.metric)
            .with_context(|| format!("in {}", results.display()))
    }

    fn command(&self, study: &Path, arguments: &Arguments) -> Step {
        let path = |path: &Path| path.display().to_string();
        let mut words: Vec<String> = [
            "train",
            "--overwrite",
            "--task",
            self.data.task,
            "--model",
            &path(&arguments.model),
            "--train",
            &path(self.train),
            "--valid",
            &path(self.valid),
            "--method",
            self.contender.method,
            "--lr",
            &self.rate.to_string(),
            "--schedule",
            "linear",
            "--seed",
            &self.seed.to_string(),
            "--out",
            &path(&self.out()),
        ]
        .map(str::to_owned)
        .to_vec();
        let steps = [
            "train.batch_size=32".to_owned(),
            // The rates of every study were chosen with one rate for all.
            "train.head_lr=\"same\"".to_owned(),
            "train.epochs=1000".to_owned(),
            format!("train.max_steps={}", self.steps),
            format!(
                "train.eval_every={}",
                (self.steps / self.evaluations).max(1)
            ),
        ];
        let groups = std::iter::once(&self.data.settings).chain(self.contender.settings);
        let own = groups
            .flat_map(|group| group.iter())
            .map(|setting| setting.replace("{data}", self.data.name))
            .map(|setting| setting.replace("{study}", &path(study)));
        for setting in steps.into_iter().chain(own) {
            words.extend(["--set".to_owned(), setting]);
        }
        let step = Step::new("target/debug/peft").with_arguments(&words);
        match arguments.jobs {
            1 => step,
            jobs => step.with_variable("RAYON_NUM_THREADS", &threads(jobs).to_string()),
        }
    }
}
