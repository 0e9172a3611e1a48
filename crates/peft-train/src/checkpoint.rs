//! Checkpoints of a run: everything that a killed run needs to continue exactly.
//!
//! `checkpoint-N/` holds the trained part (an adapter folder for adapters), `optimizer.bpk`, `transforms.safetensors`
//! where gradient transforms have a state, and `state.json` with step, data position and seeds. Random numbers are
//! seeded anew from `(seed, step)` at every step, so the step is the state of the generator. A checkpoint is written
//! under another name and renamed when it is whole: a kill at any moment leaves the one before.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use burn::optim::{ModuleOptimizer, OptimizerRecord};
use burn::tensor::Bytes;
use peft_core::file::{HostTensor, read_tensors, write_atomic, write_tensors};
use serde::{Deserialize, Serialize};

use crate::TrainError;
use crate::task::Scores;

const STATE: &str = "state.json";
const OPTIMIZER: &str = "optimizer.bpk";
const TRANSFORMS: &str = "transforms.safetensors";
const PREFIX: &str = "checkpoint-";
const FORMAT_VERSION: u32 = 1;

/// Where a run stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunState {
    /// Version of this file.
    pub format_version: u32,
    /// Digest of the settings and the data; another run's checkpoint is refused by it.
    pub fingerprint: String,
    /// Optimizer steps taken.
    pub step: usize,
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
}

impl RunState {
    /// The state before the first step.
    #[must_use]
    pub fn start(fingerprint: String) -> Self {
        Self {
            format_version: FORMAT_VERSION,
            fingerprint,
            step: 0,
            epoch: 0,
            batch: 0,
            tokens: 0,
            seconds: 0.0,
            best: None,
            without_improvement: 0,
            last_scores: None,
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
        if !self.dir.exists() {
            return Ok(vec![]);
        }
        let entries = fs::read_dir(&self.dir).map_err(read_error(&self.dir))?;
        let mut steps: Vec<usize> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter_map(|name| name.strip_prefix(PREFIX)?.parse().ok())
            .filter(|step| self.path(*step).join(STATE).exists())
            .collect();
        steps.sort_unstable();
        Ok(steps)
    }

    /// Writes a checkpoint; `trained` writes the trained part into the folder it is given.
    ///
    /// # Errors
    /// When the disk refuses; earlier checkpoints stay as they were.
    pub fn save(
        &self,
        state: &RunState,
        optimizer: &ModuleOptimizer,
        transforms: &BTreeMap<String, HostTensor>,
        trained: impl FnOnce(&Path) -> Result<(), TrainError>,
    ) -> Result<(), TrainError> {
        let whole = self.path(state.step);
        let partial = self.dir.join(format!(".{PREFIX}{}.partial", state.step));
        remove(&partial)?;
        fs::create_dir_all(&partial).map_err(write_error(&partial))?;
        trained(&partial)?;
        let record = optimizer
            .to_record()
            .into_bytes()
            .map_err(|error| broken(&whole, &error))?;
        write_atomic(&partial.join(OPTIMIZER), &record)?;
        if !transforms.is_empty() {
            write_tensors(&partial.join(TRANSFORMS), transforms)?;
        }
        let text = serde_json::to_string_pretty(state).map_err(|error| broken(&whole, &error))?;
        write_atomic(&partial.join(STATE), text.as_bytes())?;
        remove(&whole)?;
        fs::rename(&partial, &whole).map_err(write_error(&whole))?;
        self.prune(state)
    }

    /// Removes all but the last checkpoints and the best one.
    fn prune(&self, state: &RunState) -> Result<(), TrainError> {
        let steps = self.steps()?;
        let best = state.best.map(|(step, _)| step);
        let surplus = steps.len().saturating_sub(self.keep);
        for step in &steps[..surplus] {
            if Some(*step) != best {
                remove(&self.path(*step))?;
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
        let text = fs::read_to_string(&file).map_err(read_error(&file))?;
        let state: RunState = serde_json::from_str(&text).map_err(|error| broken(&path, &error))?;
        if state.format_version != FORMAT_VERSION {
            let message = format!(
                "format version {}, this program reads {FORMAT_VERSION}",
                state.format_version
            );
            return Err(TrainError::Checkpoint { path, message });
        }
        if state.fingerprint != fingerprint {
            return Err(TrainError::OtherRun {
                path,
                what: format!(
                    "fingerprint {}, this run has {fingerprint}",
                    state.fingerprint
                ),
            });
        }
        Ok(state)
    }

    /// The optimizer of the checkpoint after `step` steps, put into `optimizer`, and the transforms' state.
    ///
    /// # Errors
    /// When a file is missing or broken.
    pub fn optimizer(
        &self,
        step: usize,
        optimizer: ModuleOptimizer,
    ) -> Result<(ModuleOptimizer, BTreeMap<String, HostTensor>), TrainError> {
        let path = self.path(step);
        let file = path.join(OPTIMIZER);
        let bytes = fs::read(&file).map_err(read_error(&file))?;
        let record = OptimizerRecord::from_bytes(Bytes::from_bytes_vec(bytes))
            .map_err(|error| broken(&path, &error))?;
        let transforms = path.join(TRANSFORMS);
        let transforms = if transforms.exists() {
            read_tensors(&transforms)?
        } else {
            BTreeMap::new()
        };
        Ok((optimizer.load_record(record), transforms))
    }
}

fn broken(path: &Path, error: &dyn std::fmt::Display) -> TrainError {
    TrainError::Checkpoint {
        path: path.to_owned(),
        message: error.to_string(),
    }
}

fn read_error(path: &Path) -> impl FnOnce(std::io::Error) -> TrainError {
    let path = path.to_owned();
    |source| TrainError::Read { path, source }
}

fn write_error(path: &Path) -> impl FnOnce(std::io::Error) -> TrainError {
    let path = path.to_owned();
    |source| TrainError::Write { path, source }
}

fn remove(dir: &Path) -> Result<(), TrainError> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(write_error(dir)(error)),
        _ => Ok(()),
    }
}
