//! The settings of a training run.

use serde::{Deserialize, Serialize};

use crate::TrainError;
use crate::group_options::GroupOptions;
use crate::head_rate::HeadRate;
use crate::optimizer_kind::OptimizerKind;
use crate::schedule::{ScheduleKind, Warmup};

/// Which weights a run ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Select {
    /// Those after the last step.
    #[default]
    Last,
    /// Those of the best evaluation.
    Best,
}

impl std::str::FromStr for Select {
    type Err = TrainError;

    fn from_str(text: &str) -> Result<Self, TrainError> {
        match text {
            "last" => Ok(Self::Last),
            "best" => Ok(Self::Best),
            _ => Err(TrainError::Option {
                option: "select",
                expected: "last or best".into(),
                found: text.into(),
            }),
        }
    }
}

/// How a run trains. Every field has a default, and unknown fields are refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainOptions {
    /// Decides the factors, the order of the data and every dropout mask.
    pub seed: u64,
    /// Passes over the training data, where `max_steps` does not say how long the run is.
    pub epochs: usize,
    /// Takes exactly so many optimizer steps, in as many passes as that needs, whatever `epochs` says.
    pub max_steps: Option<usize>,
    /// Examples of a batch.
    pub batch_size: usize,
    /// Largest `examples * longest` of a batch, padding included.
    pub max_tokens: Option<usize>,
    /// Batches of similar lengths, so that little padding is computed.
    pub group_by_length: bool,
    /// Batches whose gradients make one optimizer step.
    pub accumulation: usize,
    /// Computes each block again in the backward pass rather than keep its insides: less memory, one more forward.
    pub gradient_checkpointing: bool,
    /// What turns gradients into steps.
    pub optimizer: OptimizerKind,
    /// Peak learning rate.
    pub lr: f64,
    /// Peak learning rate of an output layer that starts afresh.
    pub head_lr: HeadRate,
    /// Learning rate of the second factor of each low-rank pair, `B`, over that of the first: LoRA+ (Hayou et al. 2024, arXiv 2402.12354)
    /// uses 16.
    pub lora_plus: f64,
    /// Shape of the learning rate over the run.
    pub schedule: ScheduleKind,
    /// Steps, or share of all steps, over which the learning rate rises from 0.
    pub warmup: Warmup,
    /// Momentum of SGD.
    pub momentum: f64,
    /// Decay of the weights: of AdamW decoupled from the gradient, of SGD a part of it.
    pub weight_decay: f64,
    /// Decay of AdamW's first moment.
    pub beta1: f64,
    /// Decay of AdamW's second moment.
    pub beta2: f64,
    /// Floor of AdamW's denominator.
    pub epsilon: f64,
    /// Largest global norm of the gradients; 0 does not clip.
    pub clip_norm: f64,
    /// Evaluates every so many steps; without it, after every epoch.
    pub eval_every: Option<usize>,
    /// Saves a checkpoint every so many steps; without it, after every epoch.
    pub save_every: Option<usize>,
    /// How many checkpoints stay on disk, the best one not counted.
    pub keep_checkpoints: usize,
    /// Stops after so many evaluations without a better result.
    pub patience: Option<usize>,
    /// Which weights the run ends with.
    pub select: Select,
    /// Writes a training record to the log every so many steps.
    pub log_every: usize,
    /// Examples of an evaluation batch.
    pub eval_batch_size: usize,
    /// Parameters with a learning rate, a schedule or a clipping of their own.
    pub groups: Vec<GroupOptions>,
}

impl Default for TrainOptions {
    fn default() -> Self {
        Self {
            seed: 0,
            epochs: 3,
            max_steps: None,
            batch_size: 32,
            max_tokens: None,
            group_by_length: true,
            accumulation: 1,
            gradient_checkpointing: false,
            optimizer: OptimizerKind::AdamW,
            lr: 1e-3,
            head_lr: HeadRate::Auto,
            lora_plus: 1.0,
            schedule: ScheduleKind::Linear,
            warmup: Warmup::Steps(0),
            momentum: 0.0,
            weight_decay: 0.0,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            clip_norm: 1.0,
            eval_every: None,
            save_every: None,
            keep_checkpoints: 2,
            patience: None,
            select: Select::Last,
            log_every: 10,
            eval_batch_size: 64,
            groups: vec![],
        }
    }
}

impl TrainOptions {
    /// Whether the learning rate of a step depends on how many steps the run has.
    #[must_use]
    pub fn depends_on_length(&self) -> bool {
        let depends = |schedule: Option<ScheduleKind>, warmup: Option<Warmup>| {
            schedule.is_some_and(|kind| kind != ScheduleKind::Constant)
                || matches!(warmup, Some(Warmup::Ratio(_)))
        };
        let mut groups = self.groups.iter();
        depends(Some(self.schedule), Some(self.warmup))
            || groups.any(|group| depends(group.schedule, group.warmup))
    }

    /// Refuses values that make no sense, before anything is loaded.
    ///
    /// # Errors
    /// [`TrainError::Option`] naming the option, what it may be and what it is.
    pub fn check(&self) -> Result<(), TrainError> {
        let bad = |option, expected: &str, found: String| {
            Err(TrainError::Option {
                option,
                expected: expected.into(),
                found,
            })
        };
        let counts = [
            ("epochs", Some(self.epochs)),
            ("max_steps", self.max_steps),
            ("batch_size", Some(self.batch_size)),
            ("max_tokens", self.max_tokens),
            ("accumulation", Some(self.accumulation)),
            ("eval_every", self.eval_every),
            ("save_every", self.save_every),
            ("keep_checkpoints", Some(self.keep_checkpoints)),
            ("patience", self.patience),
            ("log_every", Some(self.log_every)),
            ("eval_batch_size", Some(self.eval_batch_size)),
        ];
        if let Some((name, _)) = counts.iter().find(|(_, count)| *count == Some(0)) {
            return bad(name, "at least 1", "0".into());
        }
        for (name, value) in [("lr", self.lr), ("lora_plus", self.lora_plus)] {
            if !(value.is_finite() && value > 0.0) {
                return bad(name, "a positive number", value.to_string());
            }
        }
        for (name, value) in [
            ("weight_decay", self.weight_decay),
            ("clip_norm", self.clip_norm),
            ("epsilon", self.epsilon),
        ] {
            if !(value.is_finite() && value >= 0.0) {
                return bad(name, "0 or a positive number", value.to_string());
            }
        }
        for (name, value) in [
            ("beta1", self.beta1),
            ("beta2", self.beta2),
            ("momentum", self.momentum),
        ] {
            if !(0.0..1.0).contains(&value) {
                return bad(
                    name,
                    "a number from 0 up to, but not including, 1",
                    value.to_string(),
                );
            }
        }
        self.check_effects()?;
        self.groups.iter().try_for_each(GroupOptions::check)
    }

    /// Refuses a rate of the head that is none, and values that the chosen optimizer does not take.
    fn check_effects(&self) -> Result<(), TrainError> {
        let bad = |option, expected: &str, found: f64| {
            Err(TrainError::Option {
                option,
                expected: expected.into(),
                found: found.to_string(),
            })
        };
        if let HeadRate::Rate(rate) = self.head_lr
            && !(rate.is_finite() && rate > 0.0)
        {
            return bad("head_lr", "auto, same or a positive number", rate);
        }
        let usual = Self::default();
        let uses = |kind| {
            let mut groups = self.groups.iter();
            self.optimizer == kind || groups.any(|group| group.optimizer == Some(kind))
        };
        let settings = [
            (
                OptimizerKind::Sgd,
                vec![("momentum", self.momentum, usual.momentum)],
                "no value with adamw: it is sgd's",
            ),
            (
                OptimizerKind::AdamW,
                vec![
                    ("beta1", self.beta1, usual.beta1),
                    ("beta2", self.beta2, usual.beta2),
                    ("epsilon", self.epsilon, usual.epsilon),
                ],
                "no value with sgd: it is adamw's",
            ),
        ];
        let is_given = |(_, value, usual): &&(&str, f64, f64)| value.to_bits() != usual.to_bits();
        for (kind, settings, other) in settings {
            if !uses(kind)
                && let Some((name, value, _)) = settings.iter().find(is_given)
            {
                return bad(*name, other, *value);
            }
        }
        Ok(())
    }
}
