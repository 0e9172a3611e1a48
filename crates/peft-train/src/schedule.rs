//! Learning-rate schedules, number for number those of Hugging Face transformers.
//!
//! With `w = warmup_steps` and `n = total_steps`, the factor of the learning rate at `step` is
//!
//! - warm-up, `step < w`: `step / max(1, w)`
//! - constant: `1`
//! - linear: `max(0, (n - step) / max(1, n - w))`
//! - cosine: `max(0, (1 + cos(pi * (step - w) / max(1, n - w))) / 2)`
//!
//! as in `get_constant_schedule_with_warmup`, `get_linear_schedule_with_warmup` and `get_cosine_schedule_with_warmup`.
//! Steps count from 0, so the first step of a warm-up has the factor 0.

use std::f64::consts::PI;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::TrainError;

/// The shape of a schedule behind its warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ScheduleKind {
    /// Stays at the full learning rate.
    Constant,
    /// Falls to 0 on a straight line.
    Linear,
    /// Falls to 0 on half a cosine wave. As in transformers it would rise again behind `total_steps`.
    Cosine,
}

impl std::fmt::Display for ScheduleKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Constant => "constant",
            Self::Linear => "linear",
            Self::Cosine => "cosine",
        })
    }
}

impl FromStr for ScheduleKind {
    type Err = TrainError;

    fn from_str(text: &str) -> Result<Self, TrainError> {
        match text {
            "constant" => Ok(Self::Constant),
            "linear" => Ok(Self::Linear),
            "cosine" => Ok(Self::Cosine),
            _ => Err(TrainError::Option {
                option: "schedule",
                expected: "constant, linear or cosine".to_string(),
                found: text.to_string(),
            }),
        }
    }
}

/// The length of a warm-up: a whole number is steps, a number with a point is a share of all steps.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Warmup {
    /// So many steps.
    Steps(usize),
    /// This share of all steps, from 0.0 to 1.0.
    Ratio(f64),
}

impl Warmup {
    /// The number of steps out of `total_steps`: `ceil(total_steps * ratio)`, as in transformers.
    ///
    /// # Errors
    /// [`TrainError::Option`] when a ratio is not between 0 and 1.
    pub fn steps(self, total_steps: usize) -> Result<usize, TrainError> {
        match self {
            Self::Steps(steps) => Ok(steps),
            Self::Ratio(ratio) if (0.0..=1.0).contains(&ratio) => {
                Ok((total_steps as f64 * ratio).ceil() as usize)
            }
            Self::Ratio(ratio) => Err(bad_warmup(&ratio.to_string())),
        }
    }
}

impl FromStr for Warmup {
    type Err = TrainError;

    fn from_str(text: &str) -> Result<Self, TrainError> {
        if let Ok(steps) = text.parse() {
            return Ok(Self::Steps(steps));
        }
        match text.parse::<f64>() {
            Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(Self::Ratio(ratio)),
            _ => Err(bad_warmup(text)),
        }
    }
}

fn bad_warmup(found: &str) -> TrainError {
    TrainError::Option {
        option: "warmup",
        expected: "a whole number of steps, or a share from 0.0 to 1.0".to_string(),
        found: found.to_string(),
    }
}

/// A learning-rate schedule with warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// The shape behind the warm-up.
    pub kind: ScheduleKind,
    /// How many steps the warm-up takes.
    pub warmup_steps: usize,
    /// How many optimizer steps the run has.
    pub total_steps: usize,
}

impl Schedule {
    /// A schedule over `total_steps` optimizer steps.
    ///
    /// # Errors
    /// [`TrainError::Option`] when the warm-up is a ratio that is not between 0 and 1.
    pub fn new(kind: ScheduleKind, warmup: Warmup, total_steps: usize) -> Result<Self, TrainError> {
        Ok(Self {
            kind,
            warmup_steps: warmup.steps(total_steps)?,
            total_steps,
        })
    }

    /// The same for a run, whose warm-up has to end before it.
    ///
    /// # Errors
    /// [`TrainError::Option`] also when the warm-up takes as many steps as the run, or more.
    pub fn of_run(
        kind: ScheduleKind,
        warmup: Warmup,
        total_steps: usize,
    ) -> Result<Self, TrainError> {
        if let Warmup::Steps(steps) = warmup
            && steps >= total_steps
            && steps > 0
        {
            return Err(TrainError::Option {
                option: "warmup",
                expected: format!("fewer steps than the {total_steps} of the run"),
                found: format!("{steps} steps, in which the learning rate never reaches its peak"),
            });
        }
        Self::new(kind, warmup, total_steps)
    }

    /// What the learning rate is multiplied by at `step`, counted from 0: between 0 and 1.
    pub fn factor(&self, step: usize) -> f64 {
        if step < self.warmup_steps {
            return step as f64 / self.warmup_steps as f64;
        }
        let after = self.total_steps.saturating_sub(self.warmup_steps).max(1) as f64;
        match self.kind {
            ScheduleKind::Constant => 1.0,
            ScheduleKind::Linear => self.total_steps.saturating_sub(step) as f64 / after,
            ScheduleKind::Cosine => {
                let progress = (step - self.warmup_steps) as f64 / after;
                (0.5 * (1.0 + (PI * progress).cos())).max(0.0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn factors(kind: &str, warmup: Warmup, total: usize, steps: &[usize]) -> Vec<f64> {
        let schedule = Schedule::new(kind.parse().unwrap(), warmup, total).unwrap();
        steps.iter().map(|&step| schedule.factor(step)).collect()
    }

    fn assert_close(found: &[f64], expected: &[f64]) {
        assert_eq!(found.len(), expected.len());
        for (f, e) in found.iter().zip(expected) {
            assert!((f - e).abs() < 1e-12, "{found:?} is not {expected:?}");
        }
    }

    // The expected learning rates of transformers' own tests/optimization/test_optimization.py
    // (lr 10, 2 warm-up steps, 10 steps), divided by 10.
    #[test]
    fn the_factors_are_those_of_the_transformers_test_suite() {
        let steps: Vec<usize> = (0..10).collect();
        let linear = factors("linear", Warmup::Steps(2), 10, &steps);
        assert_close(
            &linear,
            &[0.0, 0.5, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125],
        );
        let cosine = factors("cosine", Warmup::Steps(2), 10, &steps);
        let expected = [0.0, 0.5, 1.0, 0.961, 0.853, 0.691, 0.5, 0.308, 0.146, 0.038];
        for (found, expected) in cosine.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-3, "{cosine:?}");
        }
        let constant = factors("constant", Warmup::Steps(4), 10, &steps);
        assert_close(
            &constant,
            &[0.0, 0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0],
        );
    }

    #[test]
    fn linear_stays_at_zero_and_cosine_rises_behind_the_end() {
        assert_close(
            &factors("linear", Warmup::Steps(0), 4, &[4, 5, 100]),
            &[0.0, 0.0, 0.0],
        );
        assert_close(
            &factors("cosine", Warmup::Steps(0), 4, &[4, 6]),
            &[0.0, 0.5],
        );
    }

    #[test]
    fn a_schedule_of_no_steps_or_warm_up_alone_stays_finite() {
        assert_close(
            &factors("linear", Warmup::Steps(0), 0, &[0, 1]),
            &[0.0, 0.0],
        );
        assert_close(
            &factors("cosine", Warmup::Steps(5), 3, &[4, 5]),
            &[0.8, 1.0],
        );
        assert_close(
            &factors("linear", Warmup::Steps(5), 3, &[4, 5]),
            &[0.8, 0.0],
        );
    }

    #[test]
    fn a_ratio_is_rounded_up() {
        assert_eq!(Warmup::Ratio(0.06).steps(101).unwrap(), 7);
        assert_eq!("0.1".parse::<Warmup>().unwrap().steps(10).unwrap(), 1);
        assert_eq!("100".parse::<Warmup>().unwrap(), Warmup::Steps(100));
        assert!("1.5".parse::<Warmup>().is_err());
        assert!("NaN".parse::<Warmup>().is_err());
        assert!(Warmup::Ratio(f64::NAN).steps(10).is_err());
    }

    #[test]
    fn json_keeps_steps_and_ratios_apart() {
        assert_eq!(
            serde_json::from_str::<Warmup>("100").unwrap(),
            Warmup::Steps(100)
        );
        assert_eq!(
            serde_json::from_str::<Warmup>("0.5").unwrap(),
            Warmup::Ratio(0.5)
        );
        let schedule = Schedule::new(ScheduleKind::Cosine, Warmup::Steps(2), 9).unwrap();
        let text = serde_json::to_string(&schedule).unwrap();
        assert_eq!(
            text,
            r#"{"kind":"cosine","warmup_steps":2,"total_steps":9}"#
        );
        assert_eq!(serde_json::from_str::<Schedule>(&text).unwrap(), schedule);
    }

    #[test]
    fn an_unknown_schedule_is_named_with_the_known_ones() {
        let error = "polynomial"
            .parse::<ScheduleKind>()
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "schedule: expected constant, linear or cosine, found polynomial"
        );
    }
}
