//! LoRA-drop's procedure: a LoRA trained for a while on a sample, measured there, and a plan of which layers share.
//!
//! Whoever trains and measures is a [`Host`]; what becomes of the plan is [`Plan::shared`] and the method [`crate::lora_drop`].

use peft_core::Observer;
use peft_core::lora::{LORA, RSLORA, Scaling};
use serde::{Deserialize, Serialize};

use crate::measure::OutputImportance;
use crate::measured::Measured;
use crate::plan::{Plan, PlanError};
use crate::score::{ScoreKind, scored};
use crate::select::{Budget, Scope};

/// When layers are measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum When {
    /// In an evaluation pass over the sample, after the LoRA was trained.
    #[default]
    After,
    /// In the steps of that training, its dropout included.
    Online,
}

/// What the run by the plan starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// Fresh factors.
    #[default]
    Fresh,
    /// Those of the LoRA that was measured; a shared pair goes on as the first layer's of its group.
    Warm,
}

/// How LoRA-drop finds out which layers matter: a LoRA is trained on a sample, then measured there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProcedureOptions {
    /// By what layers are compared.
    pub score: ScoreKind,
    /// What importance is shared out among.
    pub scope: Scope,
    /// Keeps the most important layers until their importance adds up to this; 0.9 without `keep`.
    pub threshold: Option<f64>,
    /// Keeps as many layers as fit into this share of the parameters.
    pub keep: Option<f64>,
    /// Share of the training data to train and measure on, the same of each label.
    pub sample: f64,
    /// Passes over the sample of the LoRA that is measured.
    pub warm_epochs: usize,
    /// Whether layers are measured after that training or in its steps.
    pub measure: When,
    /// Whether the run by the plan starts afresh or goes on from that LoRA.
    pub start: Start,
}

impl Default for ProcedureOptions {
    /// As published: three epochs on a tenth of the data, a threshold of 0.9.
    fn default() -> Self {
        Self {
            score: ScoreKind::default(),
            scope: Scope::default(),
            threshold: None,
            keep: None,
            sample: 0.1,
            warm_epochs: 3,
            measure: When::default(),
            start: Start::default(),
        }
    }
}

/// An option that makes no sense.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("prune.{option}: {problem}")]
pub struct OptionError {
    /// Its name.
    pub option: &'static str,
    /// What it may be, and what it is.
    pub problem: String,
}

/// Refuses a share of the examples that is none, or none of them; the text says what it may be.
///
/// # Errors
/// A share that is not above 0 and up to 1.
pub fn check_share(share: f64) -> Result<(), String> {
    match share > 0.0 && share <= 1.0 {
        true => Ok(()),
        false => Err(format!(
            "expected a share above 0 and up to 1, found {share}"
        )),
    }
}

impl ProcedureOptions {
    /// Refuses what makes no sense, before anything is loaded.
    ///
    /// # Errors
    /// The option, what it may be and what it is.
    pub fn check(&self) -> Result<(), OptionError> {
        let refuse = |option, problem: String| Err(OptionError { option, problem });
        let (Budget::Threshold(kept) | Budget::Parameters(kept)) = self.budget()?;
        if !(0.0..=1.0).contains(&kept) {
            let option = self.keep.map_or("threshold", |_| "keep");
            return refuse(
                option,
                format!("expected a share from 0 to 1, found {kept}"),
            );
        }
        if self.warm_epochs == 0 {
            return refuse("warm_epochs", "expected at least 1, found 0".into());
        }
        let by_output = matches!(self.score, ScoreKind::Output | ScoreKind::OutputL2);
        if self.measure == When::Online && !by_output {
            let why = "only outputs are seen in the steps of training; give prune.score output or output-l2";
            return refuse("measure = online", why.into());
        }
        check_share(self.sample).or_else(|problem| refuse("sample", problem))
    }

    /// How much is kept.
    ///
    /// # Errors
    /// When both a threshold and a share are given.
    pub fn budget(&self) -> Result<Budget, OptionError> {
        match (self.threshold, self.keep) {
            (Some(_), Some(_)) => Err(OptionError {
                option: "threshold and prune.keep",
                problem: "give one of them".into(),
            }),
            (None, Some(share)) => Ok(Budget::Parameters(share)),
            (threshold, None) => Ok(Budget::Threshold(threshold.unwrap_or(0.9))),
        }
    }

    /// Finds out which layers share.
    ///
    /// # Errors
    /// The host's, an option that makes no sense, or scores from which nothing can be planned.
    pub fn plan<H: Host>(&self, host: &mut H) -> Result<Plan, H::Error> {
        let budget = self.budget()?;
        let mut seen = OutputImportance::of(self.score);
        let measured = match self.measure {
            When::After => {
                host.train(None)?;
                host.measure(self.score)?
            }
            When::Online => {
                host.train(Some(&mut seen))?;
                let mut measured = host.measure(ScoreKind::Parameters)?;
                measured.scores = seen.sums().clone();
                measured
            }
        };
        let scores = scored(&measured.sites, &measured.scores);
        let scaling = measured.scaling;
        Ok(Plan::make(
            &scores, self.score, self.scope, budget, scaling,
        )?)
    }
}

/// Identifier of the method of the LoRA that is measured, for a scaling.
#[must_use]
pub fn trial_method(scaling: Scaling) -> &'static str {
    match scaling {
        Scaling::Standard => LORA.id,
        Scaling::RankStabilized => RSLORA.id,
    }
}

/// Whoever trains the LoRA of the procedure and measures it.
pub trait Host {
    /// What can go wrong there.
    type Error: From<PlanError> + From<OptionError>;

    /// Trains the LoRA on the sample; `seen`, where there is one, watches every step from the first.
    ///
    /// # Errors
    /// Whatever keeps it from training.
    fn train(&mut self, seen: Option<&mut dyn Observer>) -> Result<(), Self::Error>;

    /// Measures the trained LoRA on the sample.
    ///
    /// # Errors
    /// Whatever keeps it from being measured.
    fn measure(&mut self, score: ScoreKind) -> Result<Measured, Self::Error>;
}
