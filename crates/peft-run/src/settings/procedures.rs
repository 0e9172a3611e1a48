//! The settings of procedures: a table for each that is to steer the run.

use indexmap::IndexMap;
use peft_core::Procedures;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::RunConfig;
use crate::registry::PROCEDURES;
use crate::{Error, Result};

/// Options of each procedure, by its identifier, in their order.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProcedureConfig(IndexMap<String, Map<String, Value>>);

impl ProcedureConfig {
    /// The procedures that are asked for.
    ///
    /// # Errors
    /// One that does not exist, or options that it does not take.
    fn build(&self) -> Result<Procedures> {
        let mut built = Procedures::default();
        for (id, options) in &self.0 {
            let Some(entry) = PROCEDURES.iter().find(|entry| entry.id == id) else {
                let known: Vec<&str> = PROCEDURES.iter().map(|entry| entry.id).collect();
                return Err(Error::Usage(format!(
                    "procedures.{id}: no such procedure; known are {}",
                    known.join(", ")
                )));
            };
            let procedure = (entry.from_options)(options)
                .map_err(|error| Error::Usage(format!("procedures.{id}: {error}")))?;
            built.0.push(procedure);
        }
        Ok(built)
    }
}

impl RunConfig {
    /// What steers the run, beyond the loss and the optimizer.
    ///
    /// # Errors
    /// A procedure that does not exist, or options that it does not take.
    pub fn steering(&self) -> Result<Procedures> {
        self.procedures.build()
    }
}
