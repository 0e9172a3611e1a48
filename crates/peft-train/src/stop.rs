//! Asking a run to end early, from a signal or another thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::run_error::RunError;

/// A request to end a run: it finishes the step that it is in, breaks off an evaluation, and writes a checkpoint. Clones
/// are the same request.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Asks.
    pub fn ask(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether somebody asked.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// The flag itself, for whoever sets it from a signal.
    #[must_use]
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
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
