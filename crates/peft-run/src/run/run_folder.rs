//! The folder of a run: claimed from beginning to end, and changed only once everything about the run is accepted.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};

use peft_core::file::{
    CONFIG_FILE, FileError, FolderClaim, TENSOR_FILE, claim_folder, disk, holds_anything,
    remove_file, remove_folder, write_atomic,
};
use peft_core::folder::CACHE_FOLDER;
use peft_train::{Checkpoints, LOG_FILE, WEIGHTS_FILE};

use super::digest::files_in;
use super::identity::Identity;
use super::record::{Phase, RunRecord, STATE_FILE, to_resume};
use super::{LABELS_FILE, PLAN_FILE, RESULTS_FILE, RUN_FILE, RunOptions, WARM_FOLDER, expert_use};
use crate::error::Context;
use crate::settings::RunConfig;
use crate::{Error, Result};

/// What makes a folder a model.
const MODEL_CONFIG: &str = "config.json";

/// The folder of a run.
#[derive(Debug)]
pub struct RunFolder<'a> {
    out: PathBuf,
    /// The run file.
    toml: String,
    identity: Identity,
    /// The record of the run that goes on.
    found: Option<RunRecord>,
    /// The folder of the run that this one is a part of.
    above: Option<&'a RunFolder<'a>>,
    begun: Cell<bool>,
    /// Whether nothing was cached there before.
    new_cache: bool,
    _claim: Option<FolderClaim>,
}

impl RunFolder<'_> {
    /// Claims the folder of a run. Nothing is written; that waits for [`Self::begin`].
    ///
    /// # Errors
    /// A folder that holds something, or is in use; a run to resume that is none, or another one.
    pub fn open(config: &RunConfig, options: RunOptions) -> Result<Self> {
        keeps_its_inputs(config)?;
        let out = config.out.as_path();
        if options.resume && !out.is_dir() {
            return Err(Error::Usage(format!(
                "--resume: there is no folder {}; leave --resume out to start a run there",
                out.display()
            )));
        }
        let claim = claim_folder(out, true)?;
        if !options.resume && !options.overwrite && holds_anything(out)? && !nothing_to_lose(out) {
            let path = out.to_owned();
            return Err(FileError::Exists { path }).context(
                "use --overwrite to write there all the same, or --resume to continue the run",
            );
        }
        let identity = Identity::of(config)?;
        let found = match options.resume {
            true => Some(to_resume(out, &identity)?),
            false => None,
        };
        Self::new(config, identity, found, Some(claim))
    }

    /// The folder of a run that is a part of this one: it goes on where this one does and nothing is different.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn part<'b>(&'b self, config: &RunConfig, may_resume: bool) -> Result<RunFolder<'b>> {
        let identity = self.identity.of_part(config)?;
        let record = match may_resume && self.resumes() {
            true => RunRecord::read(&config.out)?,
            false => None,
        };
        let found = record.filter(|found| found.identity.differences(&identity).is_empty());
        let mut part = RunFolder::new(config, identity, found, None)?;
        part.above = Some(self);
        Ok(part)
    }

    fn new<'b>(
        config: &RunConfig,
        identity: Identity,
        found: Option<RunRecord>,
        claim: Option<FolderClaim>,
    ) -> Result<RunFolder<'b>> {
        Ok(RunFolder {
            out: config.out.clone(),
            toml: config.to_toml()?,
            identity,
            found,
            above: None,
            begun: Cell::new(false),
            new_cache: !config.out.join(CACHE_FOLDER).exists(),
            _claim: claim,
        })
    }

    /// Whether a run goes on there.
    pub fn resumes(&self) -> bool {
        let found = self.found.as_ref();
        found.is_some_and(|found| found.phase != Phase::Clearing)
    }

    /// Whether a run was begun there that is asked to go on, however far it came.
    pub fn was_there(&self) -> bool {
        self.found.is_some()
    }

    /// Whether the run that goes on has nothing left to do.
    pub fn is_finished(&self) -> bool {
        self.found.as_ref().is_some_and(|found| {
            found.phase == Phase::Finished
                && found.identity.is_as_long(&self.identity)
                && found
                    .products
                    .iter()
                    .all(|name| self.out.join(name).exists())
        })
    }

    /// The digest that checkpoints are known by.
    pub fn fingerprint(&self) -> String {
        self.identity.fingerprint()
    }

    /// Refuses examples that are others than those of the run that goes on, although the files are the same.
    ///
    /// # Errors
    /// See above.
    pub fn check_examples(&self, examples: &str) -> Result<()> {
        let before = self
            .found
            .as_ref()
            .and_then(|found| found.examples.as_ref());
        if self.resumes() && before.is_some_and(|before| before != examples) {
            return Err(Error::Usage(format!(
                "{}: the files are the same, but other training examples come of them than when the run was begun; where a chat \
                 template writes the date, set data.today to the day of the beginning, otherwise start anew with --overwrite",
                self.out.display()
            )));
        }
        Ok(())
    }

    /// Makes the folder this run's, after everything about it was accepted. What an earlier run left is removed first;
    /// at no moment do settings lie beside the results of others.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn begin(&self, examples: Option<&str>) -> Result<()> {
        if let Some(above) = self.above {
            above.begin(None)?;
        }
        if !self.begun.replace(true) {
            disk::create_dir_all(&self.out).map_err(FileError::io("create", &self.out))?;
            match self.found.as_ref().filter(|_| self.resumes()) {
                Some(found) => self.go_on(found)?,
                None => self.take_over()?,
            }
        }
        let Some(examples) = examples else {
            return Ok(());
        };
        let record = RunRecord::of(&self.out)?;
        let examples = Some(examples.to_owned());
        RunRecord { examples, ..record }.write(&self.out)
    }

    fn go_on(&self, found: &RunRecord) -> Result<()> {
        let record = RunRecord {
            phase: Phase::Running,
            identity: self.identity.clone(),
            ..found.clone()
        };
        record.write(&self.out)?;
        self.remove_results(&found.products)?;
        Ok(write_atomic(
            &self.out.join(RUN_FILE),
            self.toml.as_bytes(),
        )?)
    }

    fn take_over(&self) -> Result<()> {
        // A record that cannot be read says nothing of what is there.
        let old = RunRecord::read(&self.out).ok().flatten();
        let old = old.map_or_else(Vec::new, |old| old.products);
        let mut record = RunRecord::new(self.identity.clone(), old);
        record.write(&self.out)?;
        self.remove_results(&record.products)?;
        self.remove_beginnings()?;
        // A tokenizer or a template that another run left would be taken for this one's.
        for name in &record.products {
            remove_file(&self.out.join(name))?;
        }
        record.foreign = names_in(&self.out)?;
        record.products.clear();
        record.phase = Phase::Running;
        write_atomic(&self.out.join(RUN_FILE), self.toml.as_bytes())?;
        record.write(&self.out)
    }

    /// Removes what a finished run consists of, first that without which the rest is nothing.
    fn remove_results(&self, products: &[String]) -> Result<()> {
        let of_model = |name: &&str| {
            name.ends_with(".safetensors") || name.ends_with(".index.json") || *name == MODEL_CONFIG
        };
        let model = products.iter().map(String::as_str).filter(of_model);
        let (config, weights): (Vec<&str>, Vec<&str>) =
            model.partition(|name| *name == MODEL_CONFIG);
        let usual = [CONFIG_FILE, TENSOR_FILE, RESULTS_FILE, expert_use::FILE];
        for name in config.into_iter().chain(usual).chain(weights) {
            remove_file(&self.out.join(name))?;
        }
        Ok(())
    }

    /// Removes what else a run writes.
    fn remove_beginnings(&self) -> Result<()> {
        for name in [LABELS_FILE, LOG_FILE, WEIGHTS_FILE, RUN_FILE, PLAN_FILE] {
            remove_file(&self.out.join(name))?;
        }
        for end in ["svg", "png"] {
            remove_file(&self.out.join(PLAN_FILE).with_extension(end))?;
        }
        let warm = self.out.join(WARM_FOLDER);
        if warm.join(STATE_FILE).exists() || warm.join(RUN_FILE).exists() {
            remove_folder(&warm)?;
        }
        Ok(Checkpoints::new(&self.out, 1).clear()?)
    }

    /// Marks the run as finished, after everything was written.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn finish(&self) -> Result<()> {
        let record = RunRecord::of(&self.out)?;
        let mut products = names_in(&self.out)?;
        products.retain(|name| !record.foreign.contains(name));
        let phase = Phase::Finished;
        let record = RunRecord {
            phase,
            products,
            ..record
        };
        record.write(&self.out)
    }
}

/// Names of the files right in a folder, but for hidden ones.
fn names_in(folder: &Path) -> Result<Vec<String>> {
    let files = files_in(folder, |name| !name.starts_with('.'))?;
    let names = files.iter().filter_map(|file| file.file_name());
    Ok(names
        .map(|name| name.to_string_lossy().into_owned())
        .collect())
}

impl Drop for RunFolder<'_> {
    fn drop(&mut self) {
        // What was decomposed for a run that was then refused.
        if !self.begun.get() && self.new_cache {
            disk::remove_dir_all(&self.out.join(CACHE_FOLDER)).ok();
        }
    }
}

/// Refuses to write over what the run starts from.
fn keeps_its_inputs(config: &RunConfig) -> Result<()> {
    let Ok(out) = config.out.canonicalize() else {
        return Ok(());
    };
    let model = ("model", config.model_dir());
    let start = config.adapter.start.iter();
    let start = start.map(|path| ("adapter.start", path.as_path()));
    let experts = config.adapter.experts_from.iter();
    let experts = experts.map(|path| ("adapter.experts_from", path.as_path()));
    for (setting, path) in [model].into_iter().chain(start).chain(experts) {
        if path
            .canonicalize()
            .is_ok_and(|path| is_written(&out, &path))
        {
            return Err(Error::Usage(format!(
                "{setting}: the run would write over {}; choose another --out than {}",
                path.display(),
                config.out.display()
            )));
        }
    }
    Ok(())
}

/// Whether a run in `out` writes or removes this folder.
fn is_written(out: &Path, folder: &Path) -> bool {
    let Ok(below) = folder.strip_prefix(out) else {
        return false;
    };
    let below = below.iter().next().map(|name| name.to_string_lossy());
    below.is_none_or(|name| name == WARM_FOLDER || name.starts_with("checkpoint-"))
}

/// Whether a folder holds no more than a run that was begun and has not saved anything yet.
fn nothing_to_lose(out: &Path) -> bool {
    if let Ok(Some(record)) = RunRecord::read(out) {
        let steps = Checkpoints::new(out, 1).steps();
        let saved = [CONFIG_FILE, RESULTS_FILE, WARM_FOLDER];
        return record.phase == Phase::Running
            && steps.is_ok_and(|steps| steps.is_empty())
            && saved.iter().all(|name| !out.join(name).exists());
    }
    let Ok(entries) = fs::read_dir(out) else {
        return false;
    };
    let mut names = entries.map_while(Result::ok).map(|entry| entry.file_name());
    names.all(|name| name == CACHE_FOLDER || name.to_string_lossy().starts_with(".peft"))
}
