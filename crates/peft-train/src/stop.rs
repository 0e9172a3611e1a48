//! Asking a run to end early, from a signal or another thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use crate::run_error::RunError;

/// A request to end a run: it finishes the step that it is in, breaks off an evaluation, and writes a checkpoint. Clones
/// are the same request.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    asked: Arc<AtomicBool>,
    stage: Arc<AtomicU8>,
}

/// Whether somebody is there to answer a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// No session has run yet.
    Before,
    /// A session runs and answers.
    Running,
    /// A session has ended; what follows does not answer.
    After,
}

impl Stop {
    /// Asks.
    pub fn ask(&self) {
        self.asked.store(true, Ordering::SeqCst);
    }

    /// Whether somebody asked.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.asked.load(Ordering::SeqCst)
    }

    /// The flag itself, for whoever sets it from a signal.
    #[must_use]
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.asked)
    }

    /// Whether a session is running that answers.
    #[must_use]
    pub fn stage(&self) -> Stage {
        match self.stage.load(Ordering::SeqCst) {
            0 => Stage::Before,
            1 => Stage::Running,
            _ => Stage::After,
        }
    }

    /// Says that a session runs, as long as the guard lives.
    pub(crate) fn running(&self) -> Running {
        self.stage.store(1, Ordering::SeqCst);
        Running(Arc::clone(&self.stage))
    }

    /// For loops between steps.
    ///
    /// # Errors
    /// [`RunError::Stopped`] once somebody asked.
    pub fn check(&self) -> Result<(), RunError> {
        if self.is_asked() {
            return Err(RunError::Stopped);
        }
        Ok(())
    }
}

/// A session that runs.
pub(crate) struct Running(Arc<AtomicU8>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.store(2, Ordering::SeqCst);
    }
}
