//! Procedures: whatever steers training, beyond the loss and the optimizer.
//!
//! One object may condition the gradients of low-rank pairs by the values of the pairs, scale the learning rate, and change the
//! adapted layers after a step; its state is saved with every checkpoint. What the folder of an adapter holds is always the whole adapter:
//! a procedure that keeps a part of it elsewhere, as a chain does that has folded earlier rounds into the frozen weights, says in
//! [`Procedure::gather`] what the whole is, and takes it apart again in [`Procedure::scatter`].
//!
//! A step takes the gradients of each of the rounds out (the first factors by themselves where a procedure wants that), lets procedures
//! condition them by the [`Factors`] of the model as it is by then, and gives them to the optimizer.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Debug;

use burn::module::ParamId;
use burn::optim::GradientsParams;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::adaptable::Adaptable;
use crate::adapter::FactorPair;
use crate::error::PeftError;
use crate::factors::Factors;
use crate::file::HostTensor;
use crate::linear::AdaptedLinear;
use crate::spec::AdapterSpec;
use crate::trainable::{Trainable, TrainableParam};

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Optimizer steps taken.
    pub step: usize,
    /// Optimizer steps of the whole run.
    pub total: usize,
}

/// The adapter that a run trains.
#[derive(Debug, Clone)]
pub struct Subject {
    /// Its name in the layers.
    pub name: String,
    /// What was attached.
    pub spec: AdapterSpec,
    /// Seed of the run.
    pub seed: u64,
}

/// The adapted layers of any model.
pub trait Layers {
    /// Calls `visit` with every linear layer, always in the same order.
    fn each(&self, visit: &mut dyn FnMut(&AdaptedLinear));

    /// Calls `visit` with every linear layer, in the same order.
    fn each_mut(&mut self, visit: &mut dyn FnMut(&mut AdaptedLinear));
}

impl<M: Adaptable> Layers for M {
    fn each(&self, visit: &mut dyn FnMut(&AdaptedLinear)) {
        self.visit_linears(visit);
    }

    fn each_mut(&mut self, visit: &mut dyn FnMut(&mut AdaptedLinear)) {
        self.visit_linears_mut(visit);
    }
}

/// What a procedure did to the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    Nothing,
    /// It changed values; what the optimizer knows of these parameters no longer holds.
    Values {
        /// Parameters that start anew.
        reset: Vec<ParamId>,
    },
}

/// Steers training. Every method that is provided does nothing.
pub trait Procedure: Debug + Send {
    /// Name in messages, logs and state files.
    fn name(&self) -> &'static str;

    /// A copy behind a new box, with its state.
    fn boxed(&self) -> Box<dyn Procedure>;

    /// Whether it suits what is trained; before anything is written.
    ///
    /// # Errors
    /// What does not fit.
    fn check(
        &self,
        _subject: Option<&Subject>,
        _layers: &dyn Layers,
        _total: usize,
    ) -> Result<(), PeftError> {
        Ok(())
    }

    /// What the learning rates of this step are multiplied by.
    fn rate(&self, _at: Moment) -> f64 {
        1.0
    }

    /// Whether it conditions the gradients of low-rank pairs, which have to be there then.
    fn conditions_pairs(&self) -> bool {
        false
    }

    /// Whether the parameters `a` of all pairs are stepped before the gradients of `b` are conditioned, by the new `a` then.
    fn steps_a_first(&self) -> bool {
        false
    }

    /// Changes the gradients of pairs by their values, right before the optimizer; parameters without a gradient in `grads` are left out.
    ///
    /// # Errors
    /// [`PeftError::Precondition`] when the values of a pair are of no use; the step is then not taken.
    fn condition(
        &self,
        _grads: &mut GradientsParams,
        _pairs: &[FactorPair],
        _factors: &Factors,
    ) -> Result<(), PeftError> {
        Ok(())
    }

    /// After the optimizer's step; `at` counts that step.
    ///
    /// # Errors
    /// What went wrong with a layer.
    fn after_step(
        &mut self,
        _at: Moment,
        _subject: Option<&Subject>,
        _layers: &mut dyn Layers,
    ) -> Result<Change, PeftError> {
        Ok(Change::Nothing)
    }

    /// Turns the layers, of a copy of the model, into what a folder is to hold, where that is another adapter than the one that trains;
    /// gives its description.
    ///
    /// # Errors
    /// What went wrong with a layer.
    fn gather(
        &self,
        _subject: &Subject,
        _layers: &mut dyn Layers,
    ) -> Result<Option<AdapterSpec>, PeftError> {
        Ok(None)
    }

    /// The opposite of [`Self::gather`], after a folder was read into the layers that it gave.
    ///
    /// # Errors
    /// What went wrong with a layer.
    fn scatter(&mut self, _subject: &Subject, _layers: &mut dyn Layers) -> Result<(), PeftError> {
        Ok(())
    }

    /// What must be saved, beside the adapter, so that a resumed run goes on exactly.
    fn state(&self) -> BTreeMap<String, HostTensor> {
        BTreeMap::new()
    }

    /// Takes what [`Self::state`] gave.
    ///
    /// # Errors
    /// [`PeftError::State`] when the state is not this procedure's.
    fn load_state(&mut self, state: BTreeMap<String, HostTensor>) -> Result<(), PeftError> {
        match state.keys().next() {
            None => Ok(()),
            Some(name) => Err(PeftError::State {
                name: name.clone(),
                problem: format!("the procedure `{}` keeps no state", self.name()),
            }),
        }
    }
}

/// A procedure, or why it cannot be built.
pub type ProcedureResult = Result<Box<dyn Procedure>, PeftError>;

/// One line of a registry: what a procedure is and how it is built from options.
#[derive(Debug)]
pub struct ProcedureEntry {
    /// Identifier in run files, for example `riemannian`.
    pub id: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// Paper, with its arXiv id.
    pub paper: &'static str,
    /// Builds the procedure from options; unknown or wrong ones are errors.
    pub from_options: fn(&Map<String, Value>) -> ProcedureResult,
}

impl ProcedureEntry {
    /// Reads a procedure's options; unknown and missing keys are errors that name them.
    ///
    /// # Errors
    /// [`PeftError::ProcedureOption`] for the table as a whole.
    pub fn options<T: DeserializeOwned>(
        procedure: &'static str,
        options: &Map<String, Value>,
    ) -> Result<T, PeftError> {
        serde_json::from_value(Value::Object(options.clone())).map_err(|error| {
            PeftError::ProcedureOption {
                procedure,
                option: "(options)",
                problem: error.to_string(),
            }
        })
    }
}

/// The parameters that are stepped together, in the order of the rounds: conditioned by the values that the rounds before have left.
#[must_use]
pub fn rounds(trainable: &Trainable, a_first: bool) -> Vec<Vec<&TrainableParam>> {
    if !a_first {
        return vec![trainable.params.iter().collect()];
    }
    let second: HashSet<ParamId> = trainable.pairs.iter().map(|pair| pair.b).collect();
    let (second, first) = trainable
        .params
        .iter()
        .partition(|param| second.contains(&param.id));
    vec![first, second]
}
