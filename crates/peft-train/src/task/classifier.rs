//! Classification and regression: what a model says of every example, trained and scored in the same way whatever an example is.

use burn::tensor::{Device, Tensor};
use peft_core::{Adaptable, Pass, RowAdapters};

use super::score::{Objective, loss, score_logits};
use super::{Scores, Task};
use crate::TrainError;
use crate::data::{BatchPlan, Target};
use crate::metric::{Measure, Metric};
use crate::spread::Spread;
use crate::stop::Stop;

/// Examples on the host, with what a model should say about each.
pub trait ExampleSet: Sync {
    /// Lengths in tokens: examples of similar length share a batch.
    fn lengths(&self) -> Vec<usize>;

    /// What the model should say about each example.
    fn targets(&self) -> &[Target];
}

/// A model that answers an example with one row of logits.
pub trait Classifier: Adaptable {
    /// Examples as this model reads them.
    type Set: ExampleSet + std::fmt::Debug;

    /// Logits of the given examples, shape `[examples, labels]`.
    ///
    /// # Errors
    /// When the batch cannot be made, or does not fit the model.
    fn answer(
        &self,
        set: &Self::Set,
        examples: &[usize],
        device: &Device,
        pass: &mut Pass<'_>,
    ) -> Result<Tensor<2>, TrainError>;

    /// Number of outputs.
    fn outputs(&self) -> usize;
}

/// Training and validation data of a classification or regression.
#[derive(Debug, Clone)]
pub struct ClassifierTask<M: Classifier> {
    /// What is learnt from.
    pub train: M::Set,
    /// What models are judged on.
    pub valid: Option<M::Set>,
    /// What the logits mean.
    pub objective: Objective,
    /// What is reported; the first one compares models.
    pub metrics: Vec<Measure>,
    /// Examples of an evaluation batch.
    pub eval_batch_size: usize,
}

impl<M: Classifier> Task for ClassifierTask<M> {
    type Model = M;

    fn lengths(&self) -> Vec<usize> {
        self.train.lengths()
    }

    fn loss(
        &self,
        model: &M,
        examples: &[usize],
        device: &Device,
        pass: &mut Pass<'_>,
    ) -> Result<Tensor<1>, TrainError> {
        let targets = self.train.targets();
        let targets: Vec<Target> = examples.iter().map(|i| targets[*i]).collect();
        let logits = model.answer(&self.train, examples, device, pass)?;
        Ok(loss(logits, &targets, self.objective))
    }

    fn evaluate(&self, spread: &Spread<M>, stop: &Stop) -> Result<Option<Scores>, TrainError> {
        let Some(valid) = &self.valid else {
            return Ok(None);
        };
        let how = Inference {
            batch_size: self.eval_batch_size,
            adapters: None,
        };
        let logits = classify_until(spread, valid, how, stop)?;
        let targets = valid.targets();
        let scores = score_logits(&logits, targets, self.objective, &self.metrics);
        Ok(Some(scores))
    }

    fn headline(&self) -> Measure {
        let usual = match self.objective {
            Objective::Classes(_) => Metric::Accuracy,
            Objective::Value => Metric::Pearson,
        };
        self.metrics.first().cloned().unwrap_or(usual.into())
    }
}

/// How a model is run over examples.
#[derive(Debug, Clone, Copy)]
pub struct Inference<'a> {
    /// Examples of a batch.
    pub batch_size: usize,
    /// The adapter of each example, `None` for the base; without this the active adapters serve all.
    pub adapters: Option<&'a [Option<&'a str>]>,
}

/// Logits of every example, in order, from batches of similar length.
///
/// # Errors
/// When a batch does not fit the model.
pub fn classify<M: Classifier>(
    model: &M,
    set: &M::Set,
    how: Inference<'_>,
) -> Result<Vec<Vec<f32>>, TrainError> {
    classify_until(&Spread::one(model), set, how, &Stop::default())
}

/// The same, unless somebody asks to stop.
fn classify_until<M: Classifier>(
    spread: &Spread<M>,
    set: &M::Set,
    how: Inference<'_>,
    stop: &Stop,
) -> Result<Vec<Vec<f32>>, TrainError> {
    let lengths = set.lengths();
    let plan = BatchPlan::evaluation(&lengths, how.batch_size, None)?;
    let batches = spread.map(plan.batches(), |model, device, examples| {
        stop.check()?;
        let adapters = how.adapters.map(|adapters| {
            let adapters: Vec<Option<&str>> = examples.iter().map(|row| adapters[*row]).collect();
            RowAdapters::new(&adapters, device)
        });
        let mut pass = Pass::eval();
        if let Some(adapters) = &adapters {
            pass = pass.with_rows(adapters);
        }
        let logits = model.answer(set, examples, device, &mut pass)?;
        let labels = logits.dims()[1];
        let values: Vec<f32> = peft_core::read(logits).iter::<f32>().collect();
        let rows = values.chunks(labels).map(<[f32]>::to_vec);
        Ok(rows.collect::<Vec<_>>())
    })?;
    Ok(plan.restore(batches.concat()))
}
