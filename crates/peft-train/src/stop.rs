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
    /// A session runs and answers, or was asked while it ran.
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
        Running(self.clone())
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
pub(crate) struct Running(Stop);

impl Drop for Running {
    /// A request that came while the session ran is its to answer: by its error, or where it had nothing left to do, by the next session.
    fn drop(&mut self) {
        if !self.0.is_asked() {
            self.0.stage.store(2, Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_during_a_session_is_its_own_to_answer() {
        let stop = Stop::default();
        assert_eq!(stop.stage(), Stage::Before);
        drop(stop.running());
        assert_eq!(stop.stage(), Stage::After);
        let running = stop.running();
        stop.ask();
        drop(running);
        assert_eq!(stop.stage(), Stage::Running);
    }
}
