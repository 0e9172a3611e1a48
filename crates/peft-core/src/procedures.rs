//! Several procedures, one after the other in a stated order.

use std::collections::BTreeMap;

use burn::module::ParamId;
use burn::optim::GradientsParams;

use crate::adapter::FactorPair;
use crate::error::PeftError;
use crate::factors::Factors;
use crate::file::HostTensor;
use crate::procedure::{Change, Layers, Moment, Procedure, Subject};
use crate::spec::AdapterSpec;

/// The procedures of a run, in their order.
#[derive(Debug, Default)]
pub struct Procedures(pub Vec<Box<dyn Procedure>>);

impl Clone for Procedures {
    fn clone(&self) -> Self {
        Self(self.0.iter().map(|each| each.boxed()).collect())
    }
}

impl Procedures {
    /// Checks each.
    ///
    /// # Errors
    /// The first one's error.
    pub fn check(
        &self,
        subject: Option<&Subject>,
        layers: &dyn Layers,
        total: usize,
    ) -> Result<(), PeftError> {
        self.0
            .iter()
            .try_for_each(|each| each.check(subject, layers, total))
    }

    /// The product of their factors of the learning rate.
    #[must_use]
    pub fn rate(&self, at: Moment) -> f64 {
        self.0.iter().map(|each| each.rate(at)).product()
    }

    /// The name of the first that conditions the gradients of low-rank pairs.
    #[must_use]
    pub fn conditioning(&self) -> Option<&'static str> {
        let mut conditioning = self.0.iter().filter(|each| each.conditions_pairs());
        conditioning.next().map(|each| each.name())
    }

    /// Whether one of them wants the first factors stepped before the others.
    #[must_use]
    pub fn steps_a_first(&self) -> bool {
        self.0.iter().any(|each| each.steps_a_first())
    }

    /// Lets each condition the gradients of pairs.
    ///
    /// # Errors
    /// The first one's error.
    pub fn condition(
        &self,
        grads: &mut GradientsParams,
        pairs: &[FactorPair],
        factors: &Factors,
    ) -> Result<(), PeftError> {
        self.0
            .iter()
            .filter(|each| each.conditions_pairs())
            .try_for_each(|each| each.condition(grads, pairs, factors))
    }

    /// Tells each that a step was taken; the parameters that start anew, where values were changed.
    ///
    /// # Errors
    /// The first one's error.
    pub fn after_step(
        &mut self,
        at: Moment,
        subject: Option<&Subject>,
        layers: &mut dyn Layers,
    ) -> Result<Option<Vec<ParamId>>, PeftError> {
        let mut changed: Option<Vec<ParamId>> = None;
        for each in &mut self.0 {
            if let Change::Values { reset } = each.after_step(at, subject, layers)? {
                changed.get_or_insert_default().extend(reset);
            }
        }
        Ok(changed)
    }

    /// Turns layers into what a folder is to hold, where an adapter trains; the description of that, where it differs from what trains.
    ///
    /// # Errors
    /// The first one's error.
    pub fn gather(
        &self,
        subject: Option<&Subject>,
        layers: &mut dyn Layers,
    ) -> Result<Option<AdapterSpec>, PeftError> {
        let mut gathered: Option<Subject> = None;
        for each in &self.0 {
            let Some(subject) = gathered.as_ref().or(subject) else {
                break;
            };
            if let Some(spec) = each.gather(subject, layers)? {
                gathered = Some(Subject {
                    spec,
                    ..subject.clone()
                });
            }
        }
        Ok(gathered.map(|subject| subject.spec))
    }

    /// Takes the layers apart again, in the opposite order.
    ///
    /// # Errors
    /// The first one's error.
    pub fn scatter(
        &mut self,
        subject: Option<&Subject>,
        layers: &mut dyn Layers,
    ) -> Result<(), PeftError> {
        let Some(subject) = subject else {
            return Ok(());
        };
        let mut reversed = self.0.iter_mut().rev();
        reversed.try_for_each(|each| each.scatter(subject, layers))
    }

    /// The state of every procedure, its names prefixed with the procedure's.
    #[must_use]
    pub fn state(&self) -> BTreeMap<String, HostTensor> {
        let states = self.0.iter().flat_map(|each| {
            let tensors = each.state().into_iter();
            tensors.map(move |(name, tensor)| (format!("{}/{name}", each.name()), tensor))
        });
        states.collect()
    }

    /// Gives each procedure its part of a saved state back.
    ///
    /// # Errors
    /// [`PeftError::State`] when a part belongs to no procedure, or is refused by its own.
    pub fn load_state(&mut self, state: BTreeMap<String, HostTensor>) -> Result<(), PeftError> {
        let mut parts: BTreeMap<String, BTreeMap<String, HostTensor>> = BTreeMap::new();
        for (name, tensor) in state {
            let (owner, rest) = name.split_once('/').unwrap_or((&name, ""));
            let part = parts.entry(owner.to_owned()).or_default();
            part.insert(rest.to_owned(), tensor);
        }
        for each in &mut self.0 {
            each.load_state(parts.remove(each.name()).unwrap_or_default())?;
        }
        match parts.into_keys().next() {
            None => Ok(()),
            Some(name) => Err(PeftError::State {
                name,
                problem: "no procedure of this run has that name".into(),
            }),
        }
    }
}
