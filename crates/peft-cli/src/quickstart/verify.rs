//! Whether what lies on the disk answers as the model in memory did.

use std::path::Path;

use anyhow::{Result, ensure};
use burn::tensor::Device;
use peft_models::SequenceClassifier;
use peft_train::data::LabelSet;
use peft_train::task::{Inference, TextSet, classify, score_logits};
use serde::Serialize;

use peft_run::adapter_arg::AdapterArg;
use peft_run::companions::Companions;
use peft_run::data::{self, Input, TextInput};
use peft_run::{open, settings::DataConfig};

/// Largest difference of a reloaded model's outputs.
const RELOADED: f32 = 1e-6;
/// Largest difference of a merged model's outputs, which are summed in another order.
const MERGED: f32 = 1e-3;
/// Examples of a batch; the same everywhere, so that sums have the same order.
const BATCH: usize = 64;

/// Labelled test data, ready for the model.
pub struct TestSet {
    set: TextSet,
    labels: LabelSet,
    device: Device,
}

impl TestSet {
    /// Reads the data file with the tokenizer of `model`.
    ///
    /// # Errors
    /// When either cannot be read.
    pub fn read(model: &Path, file: &Path, device: Device) -> Result<Self> {
        let config = DataConfig::default();
        let beside = Companions::new(model, &[], None)?;
        let input = TextInput::<SequenceClassifier>::read(&config, file, &beside)?;
        let labels = input.labels()?;
        let (set, _) = input.set(data::targets(Some(&labels)))?;
        Ok(Self {
            set,
            labels,
            device,
        })
    }

    /// The model's outputs, row by row.
    ///
    /// # Errors
    /// When the data do not fit the model.
    pub fn logits(&self, model: &SequenceClassifier) -> Result<Vec<Vec<f32>>> {
        let how = Inference {
            batch_size: BATCH,
            adapters: None,
        };
        Ok(classify(model, &self.set, how)?)
    }

    /// The outputs of a model folder with an optional adapter, both read afresh.
    ///
    /// # Errors
    /// When a folder cannot be read.
    pub fn logits_of(&self, model: &Path, adapter: Option<&Path>) -> Result<Vec<Vec<f32>>> {
        let adapters: Vec<AdapterArg> = adapter.map(AdapterArg::only).into_iter().collect();
        let answering = open::answering::<SequenceClassifier>(model, &adapters, &self.device)?;
        self.logits(&answering.loaded.model)
    }

    /// Share of right answers.
    ///
    /// # Errors
    /// When the accuracy is not defined, for lack of data.
    pub fn accuracy(&self, logits: &[Vec<f32>]) -> Result<f64> {
        let labels = Some(&self.labels);
        let scores = score_logits(
            logits,
            &self.set.targets,
            data::objective(labels),
            &data::measures(&[], None, labels)?,
        );
        let accuracy = scores.metrics.get("accuracy").copied();
        accuracy.ok_or_else(|| anyhow::anyhow!("no accuracy without test data"))
    }
}

/// One comparison of outputs.
#[derive(Debug, Clone, Serialize)]
pub struct Comparison {
    /// Largest absolute difference of a logit.
    pub largest_difference: f32,
    /// The difference up to which it counts as the same model.
    pub allowed: f32,
    /// Share of right answers of what was read from the disk.
    pub accuracy: f64,
    /// Whether the difference is small enough.
    pub passed: bool,
}

/// The two comparisons of a quickstart.
#[derive(Debug, Clone, Serialize)]
pub struct Verification {
    /// Base and adapter read afresh, against the model in memory after training.
    pub reloaded: Comparison,
    /// The merged model read afresh, against base and adapter.
    pub merged: Comparison,
}

impl Verification {
    /// Compares what was trained with what lies in the folders.
    ///
    /// # Errors
    /// When a folder cannot be read.
    pub fn new(
        test: &TestSet,
        trained: &[Vec<f32>],
        model: &Path,
        adapter: &Path,
        merged: &Path,
    ) -> Result<Self> {
        let reloaded = test.logits_of(model, Some(adapter))?;
        let merged = test.logits_of(merged, None)?;
        Ok(Self {
            reloaded: compare(test, trained, &reloaded, RELOADED)?,
            merged: compare(test, &reloaded, &merged, MERGED)?,
        })
    }

    /// Both comparisons, or an error that says which one failed.
    ///
    /// # Errors
    /// When outputs differ by more than is allowed.
    pub fn check(&self) -> Result<()> {
        for (what, comparison) in [
            ("reloaded adapter", &self.reloaded),
            ("merged model", &self.merged),
        ] {
            ensure!(
                comparison.passed,
                "the {what} answers differently: largest difference {:e}, allowed {:e}",
                comparison.largest_difference,
                comparison.allowed
            );
        }
        Ok(())
    }
}

fn compare(
    test: &TestSet,
    expected: &[Vec<f32>],
    found: &[Vec<f32>],
    allowed: f32,
) -> Result<Comparison> {
    ensure!(
        expected.len() == found.len(),
        "{} answers instead of {}",
        found.len(),
        expected.len()
    );
    let pairs = expected.iter().flatten().zip(found.iter().flatten());
    let largest_difference = pairs
        .map(|(one, other)| (one - other).abs())
        .fold(0.0, f32::max);
    let finite = expected
        .iter()
        .chain(found)
        .flatten()
        .all(|logit| logit.is_finite());
    Ok(Comparison {
        largest_difference,
        allowed,
        accuracy: test.accuracy(found)?,
        passed: finite && largest_difference <= allowed,
    })
}
