//! The settings of LoRA-drop's procedure.

use anyhow::{Result, bail};
use peft_prune::{Budget, Scope, ScoreKind};
use serde::{Deserialize, Serialize};

/// Refuses a share of the examples that is none, or none of them.
///
/// # Errors
/// The setting and what it is.
pub fn check_sample(name: &str, share: f64) -> Result<()> {
    if share > 0.0 && share <= 1.0 {
        return Ok(());
    }
    bail!(crate::Usage(format!(
        "{name}: expected a share above 0 and up to 1, found {share}"
    )))
}

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
pub struct PruneConfig {
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

impl Default for PruneConfig {
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

impl PruneConfig {
    /// Refuses what makes no sense, before anything is loaded.
    ///
    /// # Errors
    /// The setting, what it may be and what it is.
    pub fn check(&self) -> Result<()> {
        let (Budget::Threshold(kept) | Budget::Parameters(kept)) = self.budget()?;
        let name = match self.keep {
            Some(_) => "prune.keep",
            None => "prune.threshold",
        };
        if !(0.0..=1.0).contains(&kept) {
            bail!(crate::Usage(format!(
                "{name}: expected a share from 0 to 1, found {kept}"
            )));
        }
        if self.warm_epochs == 0 {
            bail!(crate::Usage(
                "prune.warm_epochs: expected at least 1, found 0".into()
            ));
        }
        let by_output = matches!(self.score, ScoreKind::Output | ScoreKind::OutputL2);
        if self.measure == When::Online && !by_output {
            bail!(crate::Usage(
                "prune.measure = online: only outputs are seen in the steps of training; give prune.score output or output-l2".into()
            ));
        }
        check_sample("prune.sample", self.sample)
    }

    /// How much is kept.
    ///
    /// # Errors
    /// When both a threshold and a share are given.
    pub fn budget(&self) -> Result<Budget> {
        match (self.threshold, self.keep) {
            (Some(_), Some(_)) => bail!(crate::Usage(
                "prune.threshold and prune.keep: give one of them".into()
            )),
            (None, Some(share)) => Ok(Budget::Parameters(share)),
            (threshold, None) => Ok(Budget::Threshold(threshold.unwrap_or(0.9))),
        }
    }
}
