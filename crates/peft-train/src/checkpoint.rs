//! Checkpoints of a run: everything that a killed run needs to continue exactly.
//!
//! `checkpoint-N/` holds the trained part (an adapter folder for adapters), `optimizer.bpk`, `procedures.safetensors`
//! where procedures have a state, and `state.json` with step, data position and seeds. Random numbers are
//! seeded anew from `(seed, step)` at every step, so the step is the state of the generator. A checkpoint is written
//! under another name and renamed when it is whole, and renamed before it is removed: a kill at any moment leaves whole
//! checkpoints. One that lacks a file nevertheless counts for nothing.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use burn::optim::{ModuleOptimizer, OptimizerRecord};
use burn::tensor::Bytes;
use peft_core::file::input::{CONFIG_LIMIT, open_plain, read_plain_text};
use peft_core::file::{
    HostTensor, disk, read_tensors, remove_folder, sync_folder, write_atomic, write_tensors,
};
use serde::{Deserialize, Serialize};

use crate::TrainError;
use crate::run_error::RunError;
use crate::task::Scores;

const STATE: &str = "state.json";
const OPTIMIZER: &str = "optimizer.bpk";
const PROCEDURES: &str = "procedures.safetensors";
const PREFIX: &str = "checkpoint-";
const PARTIAL: &str = ".partial";
const FORMAT_VERSION: u32 = 2;

/// Where a run stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunState {
    /// Version of this file.
    pub format_version: u32,
    /// Digest of the settings and the data; another run's checkpoint is refused by it.
    pub fingerprint: String,
    /// Optimizer steps taken.
    pub step: usize,
    /// Optimizer steps of the whole run.
    pub total: usize,
    /// Whether the evaluation that may follow the last step is still to be done: the run was stopped before its end.
    pub pending: bool,
    /// Epoch that goes on, counted from 0.
    pub epoch: usize,
    /// Batches of that epoch that are done.
    pub batch: usize,
    /// Real tokens seen.
    pub tokens: usize,
    /// Seconds of training so far, over all parts of a resumed run.
    pub seconds: f64,
    /// Step and rank value of the best evaluation.
    pub best: Option<(usize, f64)>,
    /// Evaluations since the best one.
    pub without_improvement: usize,
    /// Step and scores of the last evaluation.
    pub last_scores: Option<(usize, Scores)>,
    /// Sum and number of the losses since the last training record of the log.
    pub window: (f64, usize),
    /// Names and lengths of the other files of the checkpoint.
    pub files: BTreeMap<String, u64>,
}

impl RunState {
    /// The state before the first step.
    #[must_use]
    pub fn start(fingerprint: String, total: usize) -> Self {
        Self {
            format_version: FORMAT_VERSION,
            fingerprint,
            step: 0,
            total,
            pending: false,
            epoch: 0,
            batch: 0,
            tokens: 0,
            seconds: 0.0,
            best: None,
            without_improvement: 0,
            last_scores: None,
            window: (0.0, 0),
            files: BTreeMap::new(),
        }
    }
}

/// The checkpoints of one run directory.
#[derive(Debug, Clone)]
pub struct Checkpoints {
    dir: PathBuf,
    keep: usize,
}

impl Checkpoints {
    /// Checkpoints below `dir`, of which the last `keep` stay, and the best.
    #[must_use]
    pub fn new(dir: &Path, keep: usize) -> Self {
        Self {
            dir: dir.to_owned(),
            keep,
        }
    }

    /// Folder of the checkpoint after `step` steps.
    #[must_use]
    pub fn path(&self, step: usize) -> PathBuf {
        self.dir.join(format!("{PREFIX}{step}"))
    }

    /// Steps of all whole checkpoints, ascending.
    ///
    /// # Errors
    /// When the directory cannot be listed.
    pub fn steps(&self) -> Result<Vec<usize>, TrainError> {
        let mut steps = self.all()?;
        steps.retain(|step| self.is_whole(*step));
        Ok(steps)
    }

    /// Steps of all checkpoints, also of those that lack a file.
    fn all(&self) -> Result<Vec<usize>, TrainError> {
        if !self.dir.exists() {
            return Ok(vec![]);
        }
        let entries = fs::read_dir(&self.dir).map_err(read_error(&self.dir))?;
        let mut steps: Vec<usize> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter_map(|name| name.strip_prefix(PREFIX)?.parse().ok())
            .collect();
        steps.sort_unstable();
        Ok(steps)
    }

    /// Whether no file is missing or cut off. A state that cannot be read is not missing: it is said when it is read.
    fn is_whole(&self, step: usize) -> bool {
        let dir = self.path(step);
        let Ok(text) = read_plain_text(&dir.join(STATE), CONFIG_LIMIT) else {
            return false;
        };
        let Ok(state) = serde_json::from_str::<RunState>(&text) else {
            return true;
        };
        state.files.iter().all(|(name, length)| {
            fs::metadata(dir.join(name)).is_ok_and(|about| about.len() == *length)
        })
    }

    /// Removes checkpoints that lack a file, and what a killed process had begun to write. Returns the former.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn tidy(&self) -> Result<Vec<PathBuf>, TrainError> {
        if !self.dir.exists() {
            return Ok(vec![]);
        }
        let entries = fs::read_dir(&self.dir).map_err(read_error(&self.dir))?;
        for entry in entries.map_while(Result::ok) {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with(&format!(".{PREFIX}")) && name.ends_with(PARTIAL) {
                remove_folder(&entry.path())?;
            }
        }
        let broken = self.all()?.into_iter().filter(|step| !self.is_whole(*step));
        let broken: Vec<PathBuf> = broken.map(|step| self.path(step)).collect();
        broken.iter().try_for_each(|path| remove_folder(path))?;
        Ok(broken)
    }

    /// Removes all checkpoints.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn clear(&self) -> Result<(), TrainError> {
        self.tidy()?;
        let steps = self.all()?.into_iter();
        Ok(steps
            .map(|step| self.path(step))
            .try_for_each(|path| remove_folder(&path))?)
    }

    /// Writes a checkpoint; `trained` writes the trained part into the folder it is given.
    ///
    /// # Errors
    /// When the disk refuses; earlier checkpoints stay as they were.
    pub fn save(
        &self,
        state: &RunState,
        optimizer: &ModuleOptimizer,
        procedures: &BTreeMap<String, HostTensor>,
        trained: impl FnOnce(&Path) -> Result<(), TrainError>,
    ) -> Result<(), TrainError> {
        let whole = self.path(state.step);
        let partial = self.dir.join(format!(".{PREFIX}{}{PARTIAL}", state.step));
        remove_folder(&partial)?;
        disk::create_dir_all(&partial).map_err(write_error(&partial))?;
        trained(&partial)?;
        // A tensor after the other, so that it is not there once more as bytes.
        let file = partial.join(OPTIMIZER);
        let record = optimizer.to_record();
        disk::made_by(|| record.save(&file).map_err(std::io::Error::other))
            .map_err(write_error(&file))?;
        if !procedures.is_empty() {
            write_tensors(&partial.join(PROCEDURES), procedures)?;
        }
        let state = RunState {
            files: files(&partial)?,
            ..state.clone()
        };
        let text = serde_json::to_string_pretty(&state).map_err(|error| broken(&whole, &error))?;
        write_atomic(&partial.join(STATE), text.as_bytes())?;
        remove_folder(&whole)?;
        disk::rename(&partial, &whole).map_err(write_error(&whole))?;
        sync_folder(&self.dir)?;
        self.prune(&state)
    }

    /// Removes all but the last checkpoints and the best one.
    fn prune(&self, state: &RunState) -> Result<(), TrainError> {
        let steps = self.steps()?;
        let best = state.best.map(|(step, _)| step);
        let surplus = steps.len().saturating_sub(self.keep);
        for step in &steps[..surplus] {
            if Some(*step) != best {
                remove_folder(&self.path(*step))?;
            }
        }
        Ok(())
    }

    /// Reads the state of the checkpoint after `step` steps.
    ///
    /// # Errors
    /// When it is broken or belongs to a run with another fingerprint.
    pub fn state(&self, step: usize, fingerprint: &str) -> Result<RunState, TrainError> {
        let path = self.path(step);
        let file = path.join(STATE);
        let text = read_plain_text(&file, CONFIG_LIMIT).map_err(read_error(&file))?;
        let state: RunState = serde_json::from_str(&text).map_err(|error| broken(&path, &error))?;
        if state.format_version != FORMAT_VERSION {
            let message = format!(
                "format version {}, this program reads {FORMAT_VERSION}",
                state.format_version
            );
            return Err(RunError::Checkpoint { path, message }.into());
        }
        if state.fingerprint != fingerprint {
            return Err(RunError::OtherRun {
                path,
                what: format!(
                    "fingerprint {}, this run has {fingerprint}",
                    state.fingerprint
                ),
            }
            .into());
        }
        Ok(state)
    }

    /// The optimizer of the checkpoint after `step` steps, put into `optimizer`.
    ///
    /// # Errors
    /// When its file is missing or broken.
    pub fn optimizer(
        &self,
        step: usize,
        optimizer: ModuleOptimizer,
    ) -> Result<ModuleOptimizer, TrainError> {
        let path = self.path(step);
        let file = path.join(OPTIMIZER);
        // As large as what it was written for, which was checked.
        let mut source = open_plain(&file).map_err(read_error(&file))?;
        let mut bytes = Vec::new();
        source.read_to_end(&mut bytes).map_err(read_error(&file))?;
        let record = OptimizerRecord::from_bytes(Bytes::from_bytes_vec(bytes))
            .map_err(|error| broken(&path, &error))?;
        Ok(optimizer.load_record(record))
    }

    /// The state of the procedures in the checkpoint after `step` steps.
    ///
    /// # Errors
    /// When its file is broken.
    pub fn procedures(&self, step: usize) -> Result<BTreeMap<String, HostTensor>, TrainError> {
        let path = self.path(step).join(PROCEDURES);
        match path.exists() {
            true => Ok(read_tensors(&path)?),
            false => Ok(BTreeMap::new()),
        }
    }
}

fn broken(path: &Path, error: &dyn std::fmt::Display) -> TrainError {
    RunError::Checkpoint {
        path: path.to_owned(),
        message: error.to_string(),
    }
    .into()
}

fn read_error(path: &Path) -> impl FnOnce(std::io::Error) -> TrainError {
    let path = path.to_owned();
    |source| TrainError::Read { path, source }
}

fn write_error(path: &Path) -> impl FnOnce(std::io::Error) -> TrainError {
    let path = path.to_owned();
    |source| TrainError::Write { path, source }
}

/// Names and lengths of the files in a folder.
fn files(dir: &Path) -> Result<BTreeMap<String, u64>, TrainError> {
    let entries = fs::read_dir(dir).map_err(read_error(dir))?;
    let about = |entry: std::io::Result<fs::DirEntry>| {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        Ok((name, entry.metadata()?.len()))
    };
    entries
        .map(about)
        .collect::<Result<_, _>>()
        .map_err(read_error(dir))
}
