//! What a run may set apart for some of its parameters.

use serde::{Deserialize, Serialize};

use crate::TrainError;
use crate::optimizer_kind::OptimizerKind;
use crate::schedule::{ScheduleKind, Warmup};

/// What differs for some of the parameters. What is absent is as for all others.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupOptions {
    /// Which ones: the end of their names in files, or a regular expression of it, as in rank patterns; the first group that matches counts.
    pub params: String,
    /// Peak learning rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lr: Option<f64>,
    /// Shape of the learning rate over the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<ScheduleKind>,
    /// Steps, or share of all steps, over which the learning rate rises from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warmup: Option<Warmup>,
    /// What steps them; with the run's momentum, betas and epsilon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub optimizer: Option<OptimizerKind>,
    /// Weight decay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_decay: Option<f64>,
    /// Largest norm of the gradients of this group alone, which then do not count for the others; 0 does not clip them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip_norm: Option<f64>,
}

impl GroupOptions {
    pub(crate) fn check(&self) -> Result<(), TrainError> {
        let not = |option, expected: &str, value: f64| {
            Err(TrainError::Option {
                option,
                expected: expected.into(),
                found: value.to_string(),
            })
        };
        if let Some(lr) = self.lr
            && !(lr.is_finite() && lr > 0.0)
        {
            return not("groups.lr", "a positive number", lr);
        }
        let from_zero = [
            ("groups.clip_norm", self.clip_norm),
            ("groups.weight_decay", self.weight_decay),
        ];
        for (option, value) in from_zero {
            if let Some(value) = value
                && !(value.is_finite() && value >= 0.0)
            {
                return not(option, "0 or a positive number", value);
            }
        }
        Ok(())
    }
}
