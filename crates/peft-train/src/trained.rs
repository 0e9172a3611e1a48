//! What a run trains, and how that part is saved and restored.

use std::collections::HashSet;
use std::path::Path;

use burn::module::ParamId;
use peft_core::file::{check_finite, read_tensors, write_tensors};
use peft_core::{Adaptable, AdapterSpec, ParamNames, Subject, folder, values};

use crate::TrainError;

/// Saves and restores the trained part of a model.
pub trait Trained<M> {
    /// The adapter that trains, where it is one.
    fn subject(&self, _seed: u64) -> Option<Subject> {
        None
    }

    /// Writes the trained part into a folder that exists; `learnt` describes an adapter that became another one.
    ///
    /// # Errors
    /// When the folder cannot be written.
    fn save(&self, model: &M, learnt: Option<&AdapterSpec>, dir: &Path) -> Result<(), TrainError>;

    /// Puts the saved values into a model of the same shape.
    ///
    /// # Errors
    /// When the folder cannot be read or does not fit the model.
    fn restore(&self, model: M, learnt: Option<&AdapterSpec>, dir: &Path) -> Result<M, TrainError>;
}

/// An adapter with the modules saved beside it: an adapter folder.
#[derive(Debug, Clone)]
pub struct TrainedAdapter {
    /// Names of the base's parameters.
    pub names: ParamNames,
    /// What was attached.
    pub spec: AdapterSpec,
    /// Under which name.
    pub name: String,
}

impl<M: Adaptable> Trained<M> for TrainedAdapter {
    fn subject(&self, seed: u64) -> Option<Subject> {
        Some(Subject {
            name: self.name.clone(),
            spec: self.spec.clone(),
            seed,
        })
    }

    fn save(&self, model: &M, learnt: Option<&AdapterSpec>, dir: &Path) -> Result<(), TrainError> {
        let spec = learnt.unwrap_or(&self.spec);
        Ok(folder::save(model, &self.names, &self.name, spec, dir)?)
    }

    fn restore(&self, model: M, learnt: Option<&AdapterSpec>, dir: &Path) -> Result<M, TrainError> {
        let spec = learnt.unwrap_or(&self.spec);
        Ok(folder::restore(model, &self.names, &self.name, spec, dir)?)
    }
}

/// File of the trained weights of a run without an adapter.
pub const WEIGHTS_FILE: &str = "trained.safetensors";

/// Some of the model's own weights, under their Hugging Face names.
#[derive(Debug, Clone)]
pub struct TrainedWeights {
    /// Names of the model's parameters.
    pub names: ParamNames,
    /// Which of them train.
    pub ids: HashSet<ParamId>,
}

impl<M: Adaptable> Trained<M> for TrainedWeights {
    fn save(&self, model: &M, _: Option<&AdapterSpec>, dir: &Path) -> Result<(), TrainError> {
        let tensors = values::named_tensors(model, &self.names, |id| self.ids.contains(&id));
        Ok(write_tensors(&dir.join(WEIGHTS_FILE), &tensors)?)
    }

    fn restore(&self, model: M, _: Option<&AdapterSpec>, dir: &Path) -> Result<M, TrainError> {
        let tensors = read_tensors(&dir.join(WEIGHTS_FILE))?;
        check_finite(&tensors)?;
        Ok(values::set_named(model, &self.names, &tensors)?)
    }
}
